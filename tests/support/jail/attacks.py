"""Attacks by code that has already left every restriction of the language: data for tests, run in the jail only.

Each source runs as unrestricted Python in a locked child. What it achieved stands in its variable `result`; where the
kernel refuses it, it ends with the exception that says so.
"""

from dataclasses import dataclass, field
from typing import Final

from toolyard.sandbox.jail.runs import How

MIB: Final = 1 << 20


@dataclass(frozen=True)
class Attack:
    """One attack, and how it must fail.

    Attributes:
        how: the verdict of the run. says: a pattern for the verdict's reason, or for the answer where there is one.
        signals: the signals that may have ended the child; none where it was not ended by one.
        answers: whether the worker answers what the guest asks.
        limits: other limits than the usual.
    """

    name: str
    source: str
    how: How
    says: str = ""
    signals: tuple[int, ...] = ()
    answers: bool = False
    limits: dict[str, float] = field(default_factory=dict)


def refused(name: str, source: str, says: str = r"PermissionError|Errno 1\b") -> Attack:
    """The kernel answers EPERM, and Python makes an exception of it."""
    return Attack(name, source, "crashed", says=says)


def deadly(name: str, call: int, *arguments: int) -> Attack:
    """A system call by its number (x86_64) that ends the child with SIGSYS."""
    return Attack(name, raw(call, *arguments), "crashed", signals=(31,))


def denied(name: str, call: int, *arguments: int) -> Attack:
    """A system call by its number (x86_64) that is answered with EPERM."""
    return Attack(name, raw(call, *arguments), "answered", says=r"^\[-1, 1\]$")


def raw(call: int, *arguments: int) -> str:
    """A source that makes a system call behind Python's back; its result is what the kernel said."""
    words = ", ".join(f"ctypes.c_long({each})" for each in (call, *arguments))
    return f"""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
code = libc.syscall({words})
result = [code, ctypes.get_errno()]
"""


_FILES: Final = (
    refused("read a file", "result = open('/etc/passwd').read()"),
    refused("read the environment of the first process", "result = open('/proc/1/environ', 'rb').read()"),
    refused("read its own environment", "result = open('/proc/self/environ', 'rb').read()"),
    refused("read the map of its memory", "result = open('/proc/self/maps').read()"),
    refused("write its own memory", "result = open('/proc/self/mem', 'r+b').read(1)"),
    refused("read the kernel's memory", "result = open('/dev/mem', 'rb').read(1)"),
    refused("write a file", "result = open('/tmp/attack', 'w').write('x')"),
    refused("make a temporary file", "import tempfile; result = tempfile.mkstemp(dir='/tmp')"),
    refused("make a link", "import os; os.symlink('/etc/passwd', '/tmp/attack')"),
    refused("list a folder", "import os; result = os.listdir('/')"),
    refused("make a folder", "import os; os.mkdir('/tmp/attack')"),
    refused("remove a file", "import os; os.unlink('/tmp/attack')"),
    refused("rename a file", "import os; os.rename('/tmp/a', '/tmp/b')"),
    refused("change rights", "import os; os.chmod('/etc/passwd', 0o777)"),
    refused("look at a file", "import os; result = os.stat('/etc/passwd')"),
    refused("leave the root", "import os; os.chdir('/')"),
    refused("map a file of memory", "import os; result = os.memfd_create('attack')"),
    refused("load a library", "import ctypes; result = ctypes.CDLL('libcrypt.so.1')", says="OSError|PermissionError"),
    refused("import what was not loaded", "import sqlite3", says="ModuleNotFoundError|PermissionError|ImportError"),
)

_NETWORK: Final = (
    refused("make a TCP socket", "import socket; result = socket.socket()"),
    refused("make a UDP socket", "import socket; result = socket.socket(type=socket.SOCK_DGRAM)"),
    refused("make a Unix socket", "import socket; result = socket.socket(socket.AF_UNIX)"),
    refused("make a raw socket", "import socket; result = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)"),
    refused("make a netlink socket", "import socket; result = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)"),
    refused("make a pair of sockets", "import socket; result = socket.socketpair()"),
    refused("make a pipe", "import os; result = os.pipe()"),
    refused("resolve a name", "import socket; result = socket.gethostbyname('example.com')", says="gaierror"),
    refused("fetch a page", "import urllib.request as u; u.urlopen('http://127.0.0.1:1/')", says="Errno 1"),
    refused("use its socket as one", "import socket; result = socket.socket(fileno=3).getpeername()"),
    refused("run an event loop", "import asyncio; asyncio.run(asyncio.sleep(0))"),
    denied("make a socket behind Python's back", 41, 2, 1, 0),
    denied("send a descriptor away", 46, 3, 0, 0),
    denied("receive a descriptor", 47, 3, 0, 0),
)

_PROCESSES: Final = (
    refused("fork", "import os; result = os.fork()"),
    refused("bomb with forks", "import os\nwhile True: os.fork()"),
    refused(
        "bomb with forks and catch all",
        "import os\nfor _ in range(9999):\n  try: os.fork()\n  except OSError: pass\nos.fork()",
    ),
    refused("start a thread", "import threading; threading.Thread(target=print).start()", says="RuntimeError"),
    refused("start a program", "import subprocess; result = subprocess.run(['/bin/true'])", says="Error"),
    refused("start a process", "import multiprocessing as m; m.get_context('fork').Process(target=print).start()"),
    refused("spawn a program", "import os; os.posix_spawn('/bin/true', ['true'], {})"),
    Attack("run a shell", "import os; result = os.system('true')", "answered", says=r"^(-1|32512|[1-9]\d*)$"),
    Attack("become a program", "import os; os.execv('/bin/true', ['true'])", "crashed", signals=(31,)),
    refused("kill its parent", "import os; os.kill(os.getppid(), 9)"),
    refused("kill the first process", "import os; os.kill(1, 9)"),
    refused("kill everybody", "import os; os.kill(-1, 9)"),
    refused("kill its group", "import os; os.killpg(0, 9)"),
    refused("hold a process", "import os; result = os.pidfd_open(1)"),
    denied("signal a process by descriptor", 424, 4, 9, 0, 0),
    denied("signal a thread", 234, 1, 1, 9),
    refused("catch signals", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)", says="OSError|Permission"),
    denied("hide from SIGXCPU", 14, 0, 0, 0, 8),
    refused("lower its niceness", "import os; os.nice(-5)"),
    denied("set a timer", 222, 0, 0, 0),
    denied("share memory with others", 29, 0, 4096, 0o1777),
    deadly("trace a process", 101, 16, 1, 0, 0),
    deadly("read another's memory", 310, 1, 0, 0, 0, 0, 0),
    deadly("write another's memory", 311, 1, 0, 0, 0, 0, 0),
    deadly("steal a descriptor", 438, 3, 0, 0),
)

_KERNEL: Final = (
    deadly("enter namespaces", 272, 0x1000_0000),
    deadly("join a namespace", 308, 3, 0),
    deadly("mount", 165, 0, 0, 0, 0, 0),
    deadly("change the root", 161, 0),
    deadly("set up io_uring", 425, 8, 0),
    deadly("load a BPF program", 321, 5, 0, 0),
    deadly("count events", 298, 0, 0, -1, -1, 0),
    deadly("handle page faults", 323, 0),
    deadly("read the keyring", 250, 0, -3, 0),
    deadly("change its personality", 135, 0x0400000),
    deadly("write the descriptor table", 154, 1, 0, 0),
    deadly("call by x32 numbers", 0x4000_0027),
    deadly("open by x32 numbers", 0x4000_0002, 0, 0),
    denied("call a number that does not exist", 9999),
    deadly("call a negative number", -7),
    denied("clone into namespaces", 56, 0x1000_0000 | 17, 0, 0, 0, 0),
    denied("install a filter of its own", 317, 1, 0, 0),
    denied("be dumpable again", 157, 4, 1, 0, 0, 0),
    denied("outlive the server", 157, 1, 0, 0, 0, 0),
    denied("gain capabilities", 126, 0, 0),
    denied("become root", 105, 0),
    denied("lock memory", 149, 0, 4096),
    denied("map executable memory", 9, 0, 4096, 7, 0x22, -1, 0),
    denied("map executable memory with odd upper bits", 9, 0, 4096, 0x1_0000_0004, 0x22, -1, 0),
    denied("map shared memory", 9, 0, 4096, 3, 0x21, -1, 0),
    denied("map its socket", 9, 0, 4096, 1, 0x02, 3, 0),
    denied("map huge pages", 9, 0, 4096, 3, 0x4_0022, -1, 0),
    denied("read a descriptor with odd upper bits", 0, 0x1_0000_0003, 0, 0),
    denied("read descriptor 0", 0, 0, 0, 0),
    denied("write descriptor 2", 1, 2, 0, 0),
    denied("requeue a futex", 202, 0, 4, 0, 0, 0, 0),
    denied("advise to merge pages", 28, 0, 4096, 12),
    denied("read another's limits", 302, 1, 9, 0, 0),
    denied("copy its descriptor", 32, 3),
    denied("close its descriptor", 3, 3),
    denied("command its descriptor", 72, 3, 1, 0),
    denied("control a device", 16, 3, 0x5401, 0),
    denied("know the machine", 63, 0),
    refused("ask for the name of the machine", "import os; result = os.uname()"),
    Attack(
        "make memory executable",
        """
import ctypes, mmap
memory = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
libc = ctypes.CDLL(None, use_errno=True)
result = []
for call, extra in ((10, ()), (329, (-1,))):
    words = [ctypes.c_long(each) for each in (call, address, 4096, 7, *extra)]
    result.append([libc.syscall(*words), ctypes.get_errno()])
""",
        "answered",
        says=r"^\[\[-1, 1\], \[-1, 1\]\]$",
    ),
    refused(
        "raise its limits",
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
        says="ValueError|Permission",
    ),
    Attack(
        "find a descriptor that was inherited",
        """
import os
result = []
for descriptor in range(4096):
    for touch in (os.fstat, os.dup, os.close, lambda each: os.read(each, 1), lambda each: os.write(each, b"")):
        if descriptor != 3:
            try:
                touch(descriptor)
            except PermissionError:
                continue
            except OSError:
                pass
            result.append(descriptor)
""",
        "answered",
        says=r"^\[\]$",
    ),
)

_BOMBS: Final = (
    Attack("take 10 GB at once", "x = bytearray(10 << 30)", "out_of_memory"),
    Attack("take memory in small pieces", "x = []\nwhile True: x.append('x' * 5000 + str(len(x)))", "out_of_memory"),
    Attack("grow a list", "x = [0]\nwhile True: x += x", "out_of_memory"),
    Attack("grow a number", "x = 1 << (1 << 40)", "out_of_memory"),
    Attack("grow a text", "x = 'x'\nwhile True: x += x", "out_of_memory"),
    Attack("grow a dict", "x = {}\nwhile True: x[len(x)] = {}", "out_of_memory"),
    Attack(
        "grow and catch all",
        """
kept = []
for _ in range(100000):
    try:
        kept.append(bytearray(1 << 20))
    except BaseException:
        pass
result = len(kept)
""",
        "answered",
        says=r"^[1-6]?\d$",
    ),
    Attack(
        "map memory behind Python's back",
        """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_long
result = 0
while libc.mmap(ctypes.c_long(0), ctypes.c_long(1 << 20), 3, 0x4022, -1, ctypes.c_long(0)) != -1:
    result += 1
""",
        "answered",
        says=r"^[1-6]?\d$",
    ),
    Attack("loop", "while True: pass", "timed_out", limits={"wall": 0.4}),
    Attack("loop in C", "sum(iter(int, 1))", "timed_out", limits={"wall": 0.4}),
    Attack("loop and use up the CPU time", "while True: pass", "timed_out", signals=(24,), limits={"cpu": 1.0}),
    Attack("sleep", "import time; time.sleep(1000)", "timed_out", limits={"wall": 0.4}),
    Attack(
        "wait for ever",
        "import _thread as t; k = t.allocate_lock(); k.acquire(); k.acquire()",
        "timed_out",
        limits={"wall": 0.4},
    ),
    Attack(
        "catch all for ever",
        "while True:\n  try:\n    while True: pass\n  except BaseException: pass",
        "timed_out",
        limits={"wall": 0.4},
    ),
    Attack("backtrack", "import re; re.match('(a+)+$', 'a' * 64 + 'b')", "timed_out", limits={"wall": 0.4}),
    Attack("compute a huge power", "x = 7 ** (7 ** 9)", "timed_out", limits={"wall": 0.4}),
    Attack(
        "write a huge number",
        "x = 1 << (1 << 25)\nsys.set_int_max_str_digits(0)\ny = str(x)",
        "timed_out",
        limits={"wall": 0.4},
    ),
    Attack("recurse", "def f(): f()\nf()", "crashed", says="RecursionError"),
    Attack(
        "recurse without a limit",
        "sys.setrecursionlimit(10**9)\nclass A:\n  def __repr__(self): return repr(self)\nrepr(A())",
        "crashed",
        signals=(11,),
    ),
    Attack("touch what is not there", "import ctypes; ctypes.string_at(8)", "crashed", signals=(11,)),
    Attack("abort", "import os; os.abort()", "crashed", signals=(6, 11)),
    Attack("end itself", "import os; os._exit(0)", "crashed", says="status 0"),
    Attack("end itself with a status", "import os; os._exit(70)", "crashed", says="status 70"),
    Attack("leave", "sys.exit('bye')", "crashed", says="SystemExit: bye"),
    Attack(
        "raise what cannot be shown",
        "class E(Exception):\n  def __str__(self): 1/0\nraise E",
        "crashed",
        says="cannot be shown",
    ),
    Attack("raise a long story", "raise ValueError('x' * 10**6)", "crashed", says="ValueError: x+$"),
)

#: Writes bytes to the worker as they are.
_SPEAK: Final = """
import os, struct
def speak(kind, length, body=b""):
    data = struct.pack("!BI", kind, length) + body
    while data:
        data = data[os.write(3, data):]
def end(): os._exit(0)
"""


def forged(name: str, source: str, how: How, says: str = "", **limits: float) -> Attack:
    """Frames that no guest sends."""
    return Attack(name, _SPEAK + source, how, says=says, limits=limits)


_FRAMES: Final = (
    Attack(
        "answer with 50 MB",
        "result = 'x' * (25 << 20)",
        "too_much_output",
        says="bytes; 1048576",
        limits={"memory": 200 * MIB},
    ),
    forged("announce an endless answer", "speak(4, 2**32 - 1); end()", "too_much_output"),
    forged("announce an answer and be silent", "speak(4, 1000)\nwhile True: pass", "timed_out", wall=0.4),
    forged("announce an answer and end", "speak(4, 1000, b'x'); end()", "crashed"),
    forged("send half a header", "os.write(3, b'\\x04\\x00'); end()", "crashed"),
    forged("send half a header and be silent", "os.write(3, b'\\x04\\x00')\nwhile True: pass", "timed_out", wall=0.4),
    forged("send an unknown kind", "speak(99, 0); end()", "broke_protocol", says="kind 99"),
    forged("send kind 0", "speak(0, 0); end()", "broke_protocol"),
    forged("send kind 255 without end", "while True: speak(255, 1 << 16, bytes(1 << 16))", "broke_protocol"),
    forged("be ready again", "speak(1, 0); end()", "broke_protocol"),
    forged("begin again", "speak(2, 0); end()", "broke_protocol"),
    forged("speak the worker's words", "speak(7, 0); end()", "broke_protocol"),
    forged("answer the worker", "speak(8, 4, b'null'); end()", "broke_protocol"),
    forged("ask where nobody answers", "speak(3, 0); end()", "broke_protocol"),
    forged("tell a long reason", "speak(6, 1 << 20, bytes(1 << 20)); end()", "broke_protocol"),
    forged("tell a reason that is no text", "speak(6, 4, b'\\xff\\xfe\\xfd\\xfc'); end()", "crashed"),
    forged("say it is out of memory", "speak(5, 0); end()", "out_of_memory"),
    forged("say it is out of memory, with a body", "speak(5, 9, bytes(9)); end()", "broke_protocol"),
    forged("answer with nothing", "speak(4, 0); end()", "answered", says="^$"),
    forged("answer twice", "speak(4, 1, b'1'); speak(4, 1, b'2'); end()", "answered", says="^1$"),
    forged("answer and go on", "speak(4, 1, b'1')\nwhile True: pass", "answered", says="^1$"),
    forged("answer with no JSON", "speak(4, 5, b'{{{{{'); end()", "answered", says=r"^\{\{\{\{\{$"),
    forged("answer with deep JSON", "speak(4, 200000, b'[' * 200000); end()", "answered", says=r"^\[+$"),
    Attack(
        "ask without end",
        "while True: ask(b'x')",
        "broke_protocol",
        says="more requests",
        answers=True,
        limits={"requests": 5},
    ),
    Attack(
        "ask without waiting",
        _SPEAK + "while True: speak(3, 9, bytes(9))",
        "broke_protocol",
        says="more requests",
        answers=True,
    ),
    Attack("ask too much", "ask(bytes(2 << 20))", "broke_protocol", answers=True),
    Attack(
        "ask and never read",
        _SPEAK + "for _ in range(9): speak(3, 1 << 20, bytes(1 << 20))\nwhile True: pass",
        "timed_out",
        answers=True,
        limits={"wall": 0.4},
    ),
)

_SECRETS: Final = (
    Attack("read the environment", "import os; result = dict(os.environ)", "answered"),
    Attack(
        "look for secrets among all objects",
        """
import gc
word = "do-not-" + "tell" + "-4711"
texts, seen, todo = [], set(), list(gc.get_objects())
while todo and len(seen) < 500_000:
    each = todo.pop()
    if id(each) in seen or each is todo or each is texts or each is seen:
        continue
    seen.add(id(each))
    if isinstance(each, (str, bytes, bytearray)):
        texts.append(each if isinstance(each, str) else bytes(each).decode("latin1"))
    else:
        todo.extend(gc.get_referents(each))
result = [len(text) for text in texts if word in text and len(text) < 100 and text != word]
""",
        "answered",
        says=r"^\[\]$",
        limits={"wall": 60.0, "cpu": 60.0, "memory": 300 * MIB},
    ),
    Attack(
        "look for secrets in the heap",
        """
import ctypes, gc
word = ("do-not-" + "tell").encode() + b"-" + b"4711"
own = {id(word) >> 12, (id(word) + 64) >> 12}
pages = {id(each) >> 12 for each in gc.get_objects()} - own
result = sum(word in ctypes.string_at(page << 12, 4096) for page in pages)
""",
        "answered",
        says=r"^0$",
        limits={"wall": 60.0, "cpu": 60.0, "memory": 300 * MIB},
    ),
)

ATTACKS: Final = {
    attack.name: attack for attack in (*_FILES, *_NETWORK, *_PROCESSES, *_KERNEL, *_BOMBS, *_FRAMES, *_SECRETS)
}
