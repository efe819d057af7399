"""The first layer of the sandbox: what an author's code may say, and what it can reach by saying it.

It runs inside a locked child (`guest.py` is the door) and knows nothing of processes. It is not the wall: code that
leaves this layer still stands in a process that may do nothing. It makes tools fail early, with a line and a reason.

The way of a source: `checking` (bounds, `findings`, `spelling`, `policy`) makes code of it; `running` runs that code
among the names of `vocabulary`, with `guards` at each attribute; `values` and `failures` make the answer.
"""
