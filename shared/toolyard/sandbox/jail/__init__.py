"""Locked processes that serve once, forked from a warm server: the parent's side is `jail.Jail`.

::

    worker (asyncio)                      fork server                    child
    jail: a run and its verdict       →   server: forks on order     →   child: locks itself, then serves one request
    pool: children that are ready         selftest: proves the walls     wire: frames, blocking
    forkserver: a server's other end      privileges, namespaces,
    conversation: the frames of a run     rlimits, landlock, seccomp

No request passes through the server: a child's socket goes to the worker, and the request goes down that socket. What
runs in the server and in the children is the standard library only, and this package imports nothing by itself, so
that neither carries what it does not need.
"""
