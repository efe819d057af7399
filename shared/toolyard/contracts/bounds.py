"""What the fields of a message may hold: a value beyond is none of ours, and is refused where it is decoded.

Beyond these bounds a record could not be stored, would hide a call from its own workers, or break the lists that show
it. What a newer part may say is wide within them: a code or a kind that nobody knows yet is a `Word` like any other.
"""

from typing import Annotated, Final

from msgspec import Meta

#: Seconds since 1970: the end of the year 9999, which is the last that RFC 3339 can show.
LAST_SECOND: Final = 253_402_300_799.0
#: Attempts of a call: more than any policy and the deaths of its workers together allow.
MOST_ATTEMPTS: Final = 1_000

#: Ids and names that are ours. Three of them together with a pool fit into a routing key (255 bytes) as we write them,
#: and into an index of either database whatever their letters.
Name = Annotated[str, Meta(max_length=64)]
Pool = Annotated[str, Meta(max_length=32)]
#: Other words that are ours: codes, hashes, ids that are made of several.
Word = Annotated[str, Meta(max_length=128)]
#: Names that others gave: a conversation, a user.
Label = Annotated[str, Meta(max_length=300)]
#: Where a person is sent to.
Address = Annotated[str, Meta(max_length=4_096)]
#: A time, in seconds since 1970 UTC.
Time = Annotated[float, Meta(ge=0.0, le=LAST_SECOND)]
#: A duration, in seconds.
Seconds = Annotated[float, Meta(ge=0.0, le=LAST_SECOND)]
#: How much of something there is, in whatever is counted: as much as JSON carries without loss.
Amount = Annotated[float, Meta(ge=0.0, le=2.0**53)]
#: The number of an attempt; 0 is the gateway's, before the first.
Attempt = Annotated[int, Meta(ge=0, le=MOST_ATTEMPTS)]
#: How many attempts a policy allows.
Tries = Annotated[int, Meta(ge=0, le=MOST_ATTEMPTS // 10)]
#: The version of a tool, and what else is counted in a column of 32 bits.
Number = Annotated[int, Meta(ge=0, le=2**31 - 1)]
#: An offset of the log (-1 before the first), a place among events, a number of bytes: 64 bits.
LongNumber = Annotated[int, Meta(ge=-1, le=2**63 - 1)]
