"""The egress policy as data, one line a case: name, URL, what surrounds it, what must come of it.

An expectation that is a `Reason` means denied for it; anything else is what must be returned.
"""

# ruff: noqa: E501 - one line a case

from typing import NamedTuple

from toolyard.security.egress import Reason

NO = Reason


class Parsed(NamedTuple):
    name: str
    url: str
    expected: str | Reason  # the canonical URL


class Resolved(NamedTuple):
    name: str
    url: str
    answers: str  # separated by blanks
    allow: str
    expected: str | Reason | None  # the addresses to connect to, separated by blanks; None: not resolved


class Narrowed(NamedTuple):
    name: str
    url: str
    allowed_hosts: list[str] | None
    expected: Reason | None  # None: let through


class Redirected(NamedTuple):
    name: str
    source: str
    location: str
    expected: str | Reason
    same_origin: bool = True


class BadEntry(NamedTuple):
    name: str
    text: str
    problem: str


# fmt: off
PARSED = [
    Parsed("plain http", "http://example.com/", "http://example.com/"),
    Parsed("plain https", "https://example.com/a/b", "https://example.com/a/b"),
    Parsed("no path", "https://example.com", "https://example.com/"),
    Parsed("query without path", "https://example.com?a=1", "https://example.com/?a=1"),
    Parsed("fragment is not sent", "https://example.com/a?b#c?d", "https://example.com/a?b"),
    Parsed("fragment right after the host", "https://example.com#@evil.example/", "https://example.com/"),
    Parsed("at sign in the path", "https://example.com/@evil.example", "https://example.com/@evil.example"),
    Parsed("at sign in the query", "https://example.com?@evil.example", "https://example.com/?@evil.example"),
    Parsed("a URL in the query", "https://example.com/?u=http://10.0.0.1/", "https://example.com/?u=http://10.0.0.1/"),
    Parsed("percent in the path", "https://example.com/%2e%2e/%00", "https://example.com/%2e%2e/%00"),
    Parsed("percent that encodes nothing", "https://example.com/50%/%4?q=1%&r=%zz", "https://example.com/50%25/%254?q=1%25&r=%25zz"),
    Parsed("steps to folders", "https://example.com/a/./b/../c?d=/../e", "https://example.com/a/c?d=/../e"),
    Parsed("steps out of the root", "https://example.com/../..", "https://example.com/"),
    Parsed("dots that are names", "https://example.com/.a/..b/...", "https://example.com/.a/..b/..."),
    Parsed("a path that is not ASCII", "https://example.com/ä?ö", "https://example.com/%C3%A4?%C3%B6"),
    Parsed("braces and quotes in the query", 'https://example.com/?a={"b"}|c', "https://example.com/?a=%7B%22b%22%7D%7Cc"),
    Parsed("brackets in the query", "https://example.com/?f[a]=1", "https://example.com/?f[a]=1"),
    Parsed("upper-case scheme and host", "HTTPS://API.Example.COM/A", "https://api.example.com/A"),
    Parsed("trailing dot", "https://example.com./", "https://example.com/"),
    Parsed("default port of https", "https://example.com:443/", "https://example.com/"),
    Parsed("default port of http", "http://example.com:80/", "http://example.com/"),
    Parsed("the other scheme's port", "http://example.com:443/", "http://example.com:443/"),
    Parsed("own port", "https://example.com:8443/", "https://example.com:8443/"),
    Parsed("highest port", "https://example.com:65535/", "https://example.com:65535/"),
    Parsed("single label", "http://gateway/", "http://gateway/"),
    Parsed("underscore", "http://my_service.example/", "http://my_service.example/"),
    Parsed("hyphens in the third and fourth place", "https://r3---sn-abc.example/", "https://r3---sn-abc.example/"),
    Parsed("digits in a name", "https://1e100.net/", "https://1e100.net/"),
    Parsed("digits before a name", "https://127.0.0.1.example/", "https://127.0.0.1.example/"),
    Parsed("a hexadecimal label before a name", "https://0x7f.example/", "https://0x7f.example/"),
    Parsed("A-label", "https://xn--mnchen-3ya.example/", "https://xn--mnchen-3ya.example/"),
    Parsed("upper-case A-label", "https://XN--MNCHEN-3YA.example/", "https://xn--mnchen-3ya.example/"),
    Parsed("A-label of a script without cases", "https://xn--fiqs8s/", "https://xn--fiqs8s/"),
    Parsed("longest label", f"https://{'a' * 63}.example/", f"https://{'a' * 63}.example/"),
    Parsed("longest name", f"https://{'a.' * 126}a/", f"https://{'a.' * 126}a/"),
    Parsed("dotted quad", "https://93.184.216.34/", "https://93.184.216.34/"),
    Parsed("IPv6 is compressed", "https://[2606:4700:0:0:0:0:0:1111]/", "https://[2606:4700::1111]/"),
    Parsed("IPv6 is lower-cased", "https://[2606:4700::ABCD]:8443/", "https://[2606:4700::abcd]:8443/"),
    Parsed("IPv6 with a quad at its end", "https://[2606:4700::1.2.3.4]/", "https://[2606:4700::102:304]/"),

    Parsed("empty", "", NO.SCHEME),
    Parsed("no scheme", "example.com/", NO.SCHEME),
    Parsed("no scheme but slashes", "//example.com/", NO.SCHEME),
    Parsed("ftp", "ftp://example.com/", NO.SCHEME),
    Parsed("file", "file:///etc/passwd", NO.SCHEME),
    Parsed("gopher", "gopher://example.com:70/", NO.SCHEME),
    Parsed("ws", "ws://example.com/", NO.SCHEME),
    Parsed("javascript", "javascript:alert(1)", NO.SCHEME),
    Parsed("unix socket", "http+unix://socket/", NO.SCHEME),
    Parsed("one slash", "http:/example.com/", NO.SCHEME),
    Parsed("no slash", "http:example.com", NO.SCHEME),
    Parsed("scheme doubled", "http:http://example.com", NO.SCHEME),
    Parsed("long s for s", "http\u017f://example.com/", NO.SCHEME),
    Parsed("byte order mark", "\ufeffhttp://example.com/", NO.SCHEME),
    Parsed("three slashes", "http:///example.com/", NO.HOST),
    Parsed("empty host", "http://", NO.HOST),
    Parsed("empty host with a query", "http://?a", NO.HOST),
    Parsed("empty host with a port", "http://:80/", NO.HOST),
    Parsed("dot for a host", "http://./", NO.HOST),
    Parsed("two trailing dots", "http://example.com../", NO.HOST),
    Parsed("empty label", "http://a..b/", NO.HOST),
    Parsed("leading dot", "http://.example.com/", NO.HOST),
    Parsed("leading hyphen", "http://-a.example/", NO.HOST),
    Parsed("trailing hyphen", "http://a-.example/", NO.HOST),
    Parsed("label too long", f"http://{'a' * 64}.example/", NO.HOST),
    Parsed("name too long", f"http://{'a.' * 127}a/", NO.HOST),
    Parsed("wildcard host", "http://*.example.com/", NO.HOST),
    Parsed("semicolon", "http://example.com;evil.example/", NO.HOST),
    Parsed("comma", "http://example.com,evil.example/", NO.HOST),
    Parsed("ampersand", "http://example.com&evil.example/", NO.HOST),
    Parsed("braces", "http://{host}/", NO.HOST),

    Parsed("leading blank", " http://example.com/", NO.FORBIDDEN_CHARACTER),
    Parsed("trailing blank", "http://example.com/ ", NO.FORBIDDEN_CHARACTER),
    Parsed("blank in the host", "http://exam ple.com/", NO.FORBIDDEN_CHARACTER),
    Parsed("blank in the path", "http://example.com/a b", NO.FORBIDDEN_CHARACTER),
    Parsed("tab in the scheme", "ht\ttp://example.com/", NO.FORBIDDEN_CHARACTER),
    Parsed("line feed in the host", "http://127.0.0.1\n.example/", NO.FORBIDDEN_CHARACTER),
    Parsed("line feed at the end", "http://example.com\n", NO.FORBIDDEN_CHARACTER),
    Parsed("header injection", "http://example.com/\r\nX-A: b", NO.FORBIDDEN_CHARACTER),
    Parsed("NUL", "http://example.com\x00.evil.example/", NO.FORBIDDEN_CHARACTER),
    Parsed("DEL", "http://example.com/\x7f", NO.FORBIDDEN_CHARACTER),
    Parsed("C1 control", "http://example.com/\x85", NO.FORBIDDEN_CHARACTER),
    Parsed("no-break space", "http://example.com/\xa0", NO.FORBIDDEN_CHARACTER),
    Parsed("ideographic space", "http://example.com/\u3000", NO.FORBIDDEN_CHARACTER),
    Parsed("line separator", "http://example.com/\u2028", NO.FORBIDDEN_CHARACTER),
    Parsed("backslashes for slashes", "http:\\\\example.com\\", NO.FORBIDDEN_CHARACTER),
    Parsed("backslash before the at sign", "http://evil.example\\@example.com/", NO.FORBIDDEN_CHARACTER),
    Parsed("backslash in the path", "http://example.com/\\evil.example", NO.FORBIDDEN_CHARACTER),
    Parsed("lone surrogate in the path", "http://example.com/\ud800", NO.NOT_UNICODE),

    Parsed("user", "http://user@example.com/", NO.USERINFO),
    Parsed("user and password", "http://user:password@example.com/", NO.USERINFO),
    Parsed("empty user", "http://@example.com/", NO.USERINFO),
    Parsed("a host as the user", "http://example.com@127.0.0.1/", NO.USERINFO),
    Parsed("host and port as the user", "http://example.com:80@127.0.0.1/", NO.USERINFO),
    Parsed("two at signs", "http://a@b@example.com/", NO.USERINFO),
    Parsed("percent in the host", "http://ex%61mple.com/", NO.PERCENT),
    Parsed("escaped dot", "http://127%2e0.0.1/", NO.PERCENT),
    Parsed("escaped slash", "http://example.com%2f.evil.example/", NO.PERCENT),
    Parsed("escaped NUL", "http://example.com%00/", NO.PERCENT),
    Parsed("escaped port", "http://example.com:%38%30/", NO.PERCENT),
    Parsed("zone", "http://[fe80::1%25eth0]/", NO.PERCENT),
    Parsed("zone not escaped", "http://[fe80::1%eth0]/", NO.PERCENT),
    Parsed("zone of a public address", "http://[2606:4700::1111%1]/", NO.PERCENT),

    Parsed("umlaut", "http://m\u00fcnchen.example/", NO.NOT_ASCII),
    Parsed("fullwidth digits", "http://\uff11\uff12\uff17.0.0.1/", NO.NOT_ASCII),
    Parsed("circled digits", "http://\u2460\u2461\u2466.0.0.1/", NO.NOT_ASCII),
    Parsed("Arabic digits", "http://\u0661\u0662\u0667.0.0.1/", NO.NOT_ASCII),
    Parsed("soft hyphen", "http://127.0.0\u00ad.1/", NO.NOT_ASCII),
    Parsed("soft hyphen in a name", "http://local\u00adhost/", NO.NOT_ASCII),
    Parsed("zero width space", "http://local\u200bhost/", NO.NOT_ASCII),
    Parsed("ideographic full stop", "http://127\u30020\u30020\u30021/", NO.NOT_ASCII),
    Parsed("fullwidth full stop", "http://example\uff0ecom/", NO.NOT_ASCII),
    Parsed("fullwidth slash", "http://example.com\uff0fevil.example/", NO.NOT_ASCII),
    Parsed("fullwidth at sign", "http://a\uff20b/", NO.NOT_ASCII),
    Parsed("fullwidth colon", "http://example.com\uff1a80/", NO.NOT_ASCII),
    Parsed("Kelvin sign", "http://\u212a.example/", NO.NOT_ASCII),
    Parsed("fullwidth digits in the port", "http://example.com:\uff18\uff10/", NO.NOT_ASCII),
    Parsed("lone surrogate in the host", "http://\ud800.example/", NO.NOT_ASCII),

    Parsed("A-label of ASCII", "http://xn--localhost-/", NO.HOST),
    Parsed("A-label of ASCII with a hyphen inside", "http://xn--a-b/", NO.A_LABEL),
    Parsed("empty A-label", "http://xn--a/", NO.A_LABEL),
    Parsed("A-label that does not decode", "http://xn--99999999/", NO.A_LABEL),
    Parsed("A-label of fullwidth digits", "http://xn--8g7ccp.0.0.example/", NO.A_LABEL),
    Parsed("A-label of a soft hyphen", "http://xn--localhost-9ma/", NO.A_LABEL),
    Parsed("A-label of a capital", "http://xn--mnchen-psa/", NO.A_LABEL),
    Parsed("A-label of a full stop", "http://xn--ab-r13a.example/", NO.A_LABEL),
    Parsed("A-label of a slash", "http://xn--ab-1u3n.example/", NO.A_LABEL),
    Parsed("A-label of a zero width space", "http://xn--ab-g1t.example/", NO.A_LABEL),
    Parsed("A-label of an emoji", "http://xn--ls8h/", NO.A_LABEL),
    Parsed("A-label in another spelling", "http://xn---ne16d/", NO.A_LABEL),
    Parsed("A-label of a decomposed letter", "http://xn--munchen-gie/", NO.A_LABEL),
    Parsed("A-label with an underscore", "http://xn--a_b-.example/", NO.HOST),

    Parsed("one number", "http://2130706433/", NO.NUMERIC_HOST),
    Parsed("two numbers", "http://127.1/", NO.NUMERIC_HOST),
    Parsed("three numbers", "http://127.0.1/", NO.NUMERIC_HOST),
    Parsed("five numbers", "http://127.0.0.0.1/", NO.NUMERIC_HOST),
    Parsed("zero", "http://0/", NO.NUMERIC_HOST),
    Parsed("octal", "http://0177.0.0.1/", NO.NUMERIC_HOST),
    Parsed("octal number", "http://017700000001/", NO.NUMERIC_HOST),
    Parsed("leading zero in the last place", "http://127.0.0.01/", NO.NUMERIC_HOST),
    Parsed("leading zero in a public address", "http://93.184.216.034/", NO.NUMERIC_HOST),
    Parsed("over 255", "http://127.0.0.256/", NO.NUMERIC_HOST),
    Parsed("far too large", "http://99999999999999999999/", NO.NUMERIC_HOST),
    Parsed("hexadecimal number", "http://0x7f000001/", NO.NUMERIC_HOST),
    Parsed("hexadecimal first", "http://0x7f.1/", NO.NUMERIC_HOST),
    Parsed("hexadecimal last", "http://127.0.0.0x1/", NO.NUMERIC_HOST),
    Parsed("hexadecimal upper-case", "http://0X7F.0X1/", NO.NUMERIC_HOST),
    Parsed("hexadecimal empty", "http://127.0x/", NO.NUMERIC_HOST),
    Parsed("name before a number", "http://example.1/", NO.NUMERIC_HOST),
    Parsed("quad with a trailing dot", "http://127.0.0.1./", NO.NUMERIC_HOST),
    Parsed("public quad with a trailing dot", "http://93.184.216.34./", NO.NUMERIC_HOST),
    Parsed("number with a trailing dot", "http://2130706433./", NO.NUMERIC_HOST),
    Parsed("empty label in a quad", "http://127..0.1/", NO.NUMERIC_HOST),

    Parsed("IPv6 without brackets", "http://2606:4700::1111/", NO.PORT),
    Parsed("loopback without brackets", "http://::1/", NO.PORT),
    Parsed("bracket not closed", "http://[2606:4700::1111/", NO.HOST),
    Parsed("bracket not opened", "http://2606]/", NO.HOST),
    Parsed("two brackets", "http://[[2606:4700::1111]]/", NO.HOST),
    Parsed("empty brackets", "http://[]/", NO.HOST),
    Parsed("quad in brackets", "http://[127.0.0.1]/", NO.HOST),
    Parsed("name in brackets", "http://[example.com]/", NO.HOST),
    Parsed("IPvFuture", "http://[v1.fe80::a+en1]/", NO.HOST),
    Parsed("text after the bracket", "http://[2606:4700::1111]example.com/", NO.HOST),
    Parsed("dot after the bracket", "http://[2606:4700::1111]./", NO.HOST),
    Parsed("text before the bracket", "http://a[2606:4700::1111]/", NO.PORT),
    Parsed("too many groups", "http://[1:2:3:4:5:6:7:8:9]/", NO.HOST),
    Parsed("two gaps", "http://[2606::1::2]/", NO.HOST),
    Parsed("group too long", "http://[2606:04700::1]/", NO.HOST),
    Parsed("octal quad in IPv6", "http://[::ffff:0177.0.0.1]/", NO.HOST),

    Parsed("empty port", "http://example.com:/", NO.PORT),
    Parsed("port zero", "http://example.com:0/", NO.PORT),
    Parsed("port too large", "http://example.com:65536/", NO.PORT),
    Parsed("port that wraps to 80", "http://example.com:65616/", NO.PORT),
    Parsed("port far too large", f"http://example.com:{'9' * 5000}/", NO.PORT),
    Parsed("port with a leading zero", "http://example.com:080/", NO.PORT),
    Parsed("port with a sign", "http://example.com:+80/", NO.PORT),
    Parsed("negative port", "http://example.com:-1/", NO.PORT),
    Parsed("hexadecimal port", "http://example.com:0x50/", NO.PORT),
    Parsed("port with an underscore", "http://example.com:8_0/", NO.PORT),
    Parsed("port that is a word", "http://example.com:http/", NO.PORT),
    Parsed("two ports", "http://example.com:80:80/", NO.PORT),
    Parsed("IPv6 with an empty port", "http://[2606:4700::1111]:/", NO.PORT),
    Parsed("port of ssh", "http://example.com:22/", NO.BAD_PORT),
    Parsed("port of smtp", "http://example.com:25/", NO.BAD_PORT),
    Parsed("port of dns", "https://example.com:53/", NO.BAD_PORT),
    Parsed("port of nfs", "http://example.com:2049/", NO.BAD_PORT),
    Parsed("port of sip", "http://example.com:5061/", NO.BAD_PORT),
    Parsed("port of irc", "http://example.com:6667/", NO.BAD_PORT),
    Parsed("port of amanda", "http://example.com:10080/", NO.BAD_PORT),
    Parsed("bad port of an address", "http://[2606:4700::1111]:110/", NO.BAD_PORT),
]

# The first and the last address of every range that is not public.
NOT_PUBLIC = [
    ("0.0.0.0", "0.255.255.255"),
    ("10.0.0.0", "10.255.255.255"),
    ("100.64.0.0", "100.127.255.255"),
    ("127.0.0.0", "127.255.255.255"),
    ("169.254.0.0", "169.254.255.255"),
    ("172.16.0.0", "172.31.255.255"),
    ("192.0.0.0", "192.0.0.255"),
    ("192.0.2.0", "192.0.2.255"),
    ("192.168.0.0", "192.168.255.255"),
    ("198.18.0.0", "198.19.255.255"),
    ("198.51.100.0", "198.51.100.255"),
    ("203.0.113.0", "203.0.113.255"),
    ("224.0.0.0", "239.255.255.255"),
    ("240.0.0.0", "255.255.255.255"),
    ("168.63.129.16", "168.63.129.16"),
    ("::", "ff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("64:ff9b::", "64:ff9b::ffff:ffff"),
    ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff"),
    ("100::", "100::ffff:ffff:ffff:ffff"),
    ("200::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("4000::", "5eff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
]

# The neighbours of those ranges, which are public.
PUBLIC = [
    "1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
    "168.63.129.15", "168.63.129.17", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0",
    "191.255.255.255", "192.0.1.0", "192.0.1.255", "192.0.3.0", "192.167.255.255", "192.169.0.0", "198.17.255.255",
    "198.20.0.0", "198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255",
    "2000::", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001:db9::", "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::", "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "3fff:1000::", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
]

EVERYTHING = "0.0.0.0/0,[::/0],any.example"

# What no allow-list opens, in all forms that lead there.
METADATA = [
    "169.254.169.254", "169.254.169.123", "169.254.169.252", "169.254.169.253", "169.254.170.2", "169.254.170.23",
    "169.254.42.42", "169.254.0.23", "100.100.100.200", "168.63.129.16", "192.0.0.192",
    "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:42::42",
    "fe80::a9fe:a9fe",  # link-local form
    "::ffff:169.254.169.254",  # mapped
    "::169.254.169.254",  # compatible
    "::ffff:0:169.254.169.254",  # translated
    "64:ff9b::169.254.169.254",  # NAT64
    "64:ff9b::100.100.100.200",
    "64:ff9b:1::169.254.169.254",  # NAT64, local prefix of 96 bits
    "64:ff9b:1:a9fe:a9:fe00::",  # ... of 48 bits
    "64:ff9b:1:a9:fe:a9fe::",  # ... of 56 bits
    "64:ff9b:1:0:a9:fea9:fe00::",  # ... of 64 bits
    "fd12:3456::a9fe:a9fe",  # NAT64, a prefix of the operator's
    "2002:a9fe:a9fe::1",  # 6to4
    "2001:0:a9fe:a9fe::1",  # Teredo, server
    "2001:0:1:2:3:4:5601:5601",  # Teredo, client
    "2606:4700::5efe:a9fe:a9fe",  # ISATAP
]

RESOLVED = [
    Resolved("one public answer", "https://any.example/", "93.184.216.34", "", "93.184.216.34"),
    Resolved("two families", "https://any.example/", "2606:4700::1111 93.184.216.34", "", "2606:4700::1111 93.184.216.34"),
    Resolved("order kept, doubles dropped", "https://any.example/", "9.9.9.9 8.8.8.8 9.9.9.9", "", "9.9.9.9 8.8.8.8"),
    Resolved("answers are made canonical", "https://any.example/", "2606:4700:0::0:1111", "", "2606:4700::1111"),
    Resolved("no answer", "https://any.example/", "", "", None),
    Resolved("no answer for an opened host", "https://any.example/", "", "any.example", None),
    Resolved("localhost", "http://localhost/", "127.0.0.1", "", NO.NOT_PUBLIC),
    Resolved("localhost by IPv6", "http://localhost/", "::1", "", NO.NOT_PUBLIC),
    Resolved("localhost with a dot", "http://localhost./", "127.0.0.1", "", NO.NOT_PUBLIC),
    Resolved("private", "https://any.example/", "10.0.0.1", "", NO.NOT_PUBLIC),
    Resolved("public, then private", "https://any.example/", "93.184.216.34 10.0.0.1", "", NO.NOT_PUBLIC),
    Resolved("private, then public", "https://any.example/", "192.168.1.1 93.184.216.34", "", NO.NOT_PUBLIC),
    Resolved("one private among many", "https://any.example/", "8.8.8.8 8.8.4.4 ::ffff:8.8.8.8 1.1.1.1", "", NO.NOT_PUBLIC),
    Resolved("metadata by name", "http://metadata.google.internal/", "169.254.169.254", "", NO.METADATA),
    Resolved("answer with a zone", "https://any.example/", "fe80::1%eth0", "", NO.ANSWER),
    Resolved("public answer with a zone", "https://any.example/", "2606:4700::1111%1", "", NO.ANSWER),
    Resolved("opened answer with a zone", "https://any.example/", "fe80::1%eth0", "any.example", NO.ANSWER),
    Resolved("answer that is a name", "https://any.example/", "other.example", "", NO.ANSWER),
    Resolved("answer that is a number", "https://any.example/", "2130706433", "", NO.ANSWER),
    Resolved("answer in octal", "https://any.example/", "010.0.0.1", "", NO.ANSWER),

    Resolved("public literal needs no answer", "https://93.184.216.34/", "", "", "93.184.216.34"),
    Resolved("public IPv6 literal", "https://[2606:4700::1111]/", "", "", "2606:4700::1111"),
    Resolved("answers for a literal are not looked at", "https://93.184.216.34/", "10.0.0.1", "", "93.184.216.34"),
    Resolved("loopback literal", "http://127.0.0.1/", "93.184.216.34", "", NO.NOT_PUBLIC),
    Resolved("unspecified literal", "http://0.0.0.0/", "", "", NO.NOT_PUBLIC),
    Resolved("broadcast literal", "http://255.255.255.255/", "", "", NO.NOT_PUBLIC),
    Resolved("IPv6 loopback literal", "http://[::1]/", "", "", NO.NOT_PUBLIC),
    Resolved("IPv6 unspecified literal", "http://[::]/", "", "", NO.NOT_PUBLIC),
    Resolved("mapped literal", "http://[::ffff:127.0.0.1]/", "", "", NO.NOT_PUBLIC),
    Resolved("mapped public literal", "http://[::ffff:93.184.216.34]/", "", "", NO.NOT_PUBLIC),

    Resolved("is_global lets through: compatible", "https://any.example/", "::127.0.0.1", "", NO.NOT_PUBLIC),
    Resolved("is_global lets through: NAT64", "https://any.example/", "64:ff9b::7f00:1", "", NO.NOT_PUBLIC),
    Resolved("is_global lets through: local NAT64", "https://any.example/", "64:ff9b:1::1", "", NO.NOT_PUBLIC),
    Resolved("is_global lets through: 6to4", "https://any.example/", "2002:7f00:1::", "", NO.NOT_PUBLIC),
    Resolved("is_global lets through: translated", "https://any.example/", "::ffff:0:127.0.0.1", "", NO.NOT_PUBLIC),
    Resolved("is_global lets through: site-local", "https://any.example/", "fec0::1", "", NO.NOT_PUBLIC),
    Resolved("is_global lets through: multicast 6", "https://any.example/", "ff02::1", "", NO.NOT_PUBLIC),
    Resolved("is_global lets through: multicast 4", "https://any.example/", "224.0.0.1", "", NO.NOT_PUBLIC),
    Resolved("is_global lets through: wire server", "https://any.example/", "168.63.129.16", "", NO.METADATA),
    Resolved("is_global lets through: protocol range", "https://any.example/", "192.0.0.192", "", NO.METADATA),

    Resolved("host opened", "http://any.example/", "10.0.0.1", "any.example", "10.0.0.1"),
    Resolved("host opened, any port", "http://any.example:8080/", "10.0.0.1", "any.example", "10.0.0.1"),
    Resolved("host opened in capitals with a dot", "http://any.example/", "10.0.0.1", "ANY.Example.", "10.0.0.1"),
    Resolved("host opened, public and private", "http://any.example/", "10.0.0.1 8.8.8.8", "any.example", "10.0.0.1 8.8.8.8"),
    Resolved("host opened for this port", "http://any.example:8080/", "10.0.0.1", "any.example:8080", "10.0.0.1"),
    Resolved("host opened for the scheme's port", "https://any.example/", "10.0.0.1", "any.example:443", "10.0.0.1"),
    Resolved("host opened for another port", "http://any.example/", "10.0.0.1", "any.example:8080", NO.NOT_PUBLIC),
    Resolved("another host opened", "http://any.example/", "10.0.0.1", "other.example", NO.NOT_PUBLIC),
    Resolved("below an opened host", "http://a.any.example/", "10.0.0.1", "any.example", NO.NOT_PUBLIC),
    Resolved("above an opened host", "http://example/", "10.0.0.1", "any.example", NO.NOT_PUBLIC),
    Resolved("an opened host as a suffix", "http://many.example/", "10.0.0.1", "any.example", NO.NOT_PUBLIC),
    Resolved("address opened", "http://any.example/", "10.0.0.1", "10.0.0.1", "10.0.0.1"),
    Resolved("address opened, literal", "http://10.0.0.1/", "", "10.0.0.1", "10.0.0.1"),
    Resolved("address opened for this port", "http://127.0.0.1:9000/", "", "127.0.0.1:9000", "127.0.0.1"),
    Resolved("address opened for another port", "http://127.0.0.1:9001/", "", "127.0.0.1:9000", NO.NOT_PUBLIC),
    Resolved("address opened, its neighbour", "http://10.0.0.2/", "", "10.0.0.1", NO.NOT_PUBLIC),
    Resolved("network opened, first", "http://10.1.2.0:8443/", "", "10.1.2.0/24:8443", "10.1.2.0"),
    Resolved("network opened, last", "http://10.1.2.255:8443/", "", "10.1.2.0/24:8443", "10.1.2.255"),
    Resolved("network opened, one below", "http://10.1.1.255:8443/", "", "10.1.2.0/24:8443", NO.NOT_PUBLIC),
    Resolved("network opened, one above", "http://10.1.3.0:8443/", "", "10.1.2.0/24:8443", NO.NOT_PUBLIC),
    Resolved("network opened for another port", "http://10.1.2.0/", "", "10.1.2.0/24:8443", NO.NOT_PUBLIC),
    Resolved("network opened, one answer outside", "http://any.example/", "10.1.2.3 10.2.0.1", "10.1.2.0/24", NO.NOT_PUBLIC),
    Resolved("IPv6 address opened", "http://[fd00::1]/", "", "[fd00::1]:80", "fd00::1"),
    Resolved("IPv6 network opened", "http://[fd00::1]:8080/", "", "[fd00::/16]:8080", "fd00::1"),
    Resolved("IPv4 opened is not its mapped form", "http://[::ffff:10.0.0.1]/", "", "10.0.0.0/8", NO.NOT_PUBLIC),
    Resolved("several entries and blanks", "http://10.0.0.1/", "", "a.example , 10.0.0.1:80 ,[fd00::1]", "10.0.0.1"),
    Resolved("everything opened", "http://any.example/", "127.0.0.1 ::1", EVERYTHING, "127.0.0.1 ::1"),
    Resolved("opened host that leads to metadata", "http://any.example/", "169.254.169.254", "any.example", NO.METADATA),
    Resolved("opened network around metadata", "http://169.254.169.254/", "", "169.254.0.0/16", NO.METADATA),
    Resolved("opened, one answer is metadata", "http://any.example/", "10.0.0.1 fd00:ec2::254", EVERYTHING, NO.METADATA),
    Resolved("link-local beside metadata can be opened", "http://169.254.171.1/", "", "169.254.171.0/24", "169.254.171.1"),
]

NARROWED = [
    Narrowed("no list", "https://api.example.com/", None, None),
    Narrowed("empty list", "https://api.example.com/", [], NO.NOT_IN_ALLOWED_HOSTS),
    Narrowed("exact", "https://api.example.com/", ["api.example.com"], None),
    Narrowed("second entry", "https://api.example.com/", ["a.example", "api.example.com"], None),
    Narrowed("capitals in the list", "https://api.example.com/", ["API.Example.Com."], None),
    Narrowed("capitals in the URL", "https://API.EXAMPLE.COM./", ["api.example.com"], None),
    Narrowed("exact does not reach below", "https://a.api.example.com/", ["api.example.com"], NO.NOT_IN_ALLOWED_HOSTS),
    Narrowed("exact is no suffix", "https://evilapi.example.com/", ["api.example.com"], NO.NOT_IN_ALLOWED_HOSTS),
    Narrowed("exact is no prefix", "https://api.example.com.evil.example/", ["api.example.com"], NO.NOT_IN_ALLOWED_HOSTS),
    Narrowed("wildcard", "https://api.example.com/", ["*.example.com"], None),
    Narrowed("wildcard over two labels", "https://a.b.example.com/", ["*.example.com"], None),
    Narrowed("wildcard without the name itself", "https://example.com/", ["*.example.com"], NO.NOT_IN_ALLOWED_HOSTS),
    Narrowed("wildcard needs the dot", "https://evilexample.com/", ["*.example.com"], NO.NOT_IN_ALLOWED_HOSTS),
    Narrowed("any port where none is named", "https://api.example.com:8443/", ["api.example.com"], None),
    Narrowed("named port", "https://api.example.com:8443/", ["api.example.com:8443"], None),
    Narrowed("the scheme's port named", "https://api.example.com/", ["api.example.com:443"], None),
    Narrowed("another port", "https://api.example.com/", ["api.example.com:8443"], NO.NOT_IN_ALLOWED_HOSTS),
    Narrowed("wildcard with a port", "https://a.example.com:8443/", ["*.example.com:8443"], None),
    Narrowed("wildcard with another port", "https://a.example.com/", ["*.example.com:8443"], NO.NOT_IN_ALLOWED_HOSTS),
    Narrowed("public address", "https://93.184.216.34/", ["93.184.216.34"], None),
    Narrowed("public IPv6 address", "https://[2606:4700::1111]/", ["[2606:4700:0::1111]:443"], None),
    Narrowed("address not in the list", "https://8.8.8.8/", ["api.example.com"], NO.NOT_IN_ALLOWED_HOSTS),
    Narrowed("does not widen: private address", "http://10.0.0.1/", ["10.0.0.1"], NO.NOT_PUBLIC),
    Narrowed("does not widen: metadata", "http://169.254.169.254/", ["169.254.169.254"], NO.METADATA),
    Narrowed("does not widen: bad port", "http://api.example.com:22/", ["api.example.com"], NO.BAD_PORT),
    Narrowed("opened by the operator, not by the tool", "http://opened.example/", ["a.example"], NO.NOT_IN_ALLOWED_HOSTS),
    Narrowed("opened by the operator and the tool", "http://opened.example/", ["opened.example"], None),
    Narrowed("bare star", "https://api.example.com/", ["*"], NO.ALLOWED_HOSTS_UNREADABLE),
    Narrowed("a URL in the list", "https://api.example.com/", ["https://api.example.com"], NO.ALLOWED_HOSTS_UNREADABLE),
    Narrowed("one bad entry closes the list", "https://a.example/", ["a.example", "b.example:0"], NO.ALLOWED_HOSTS_UNREADABLE),
    Narrowed("wildcard of an address", "https://1.0.0.1/", ["*.0.0.1"], NO.ALLOWED_HOSTS_UNREADABLE),
    Narrowed("wildcard of a full address", "https://8.8.8.8/", ["*.8.8.8.8"], NO.ALLOWED_HOSTS_UNREADABLE),
    Narrowed("star inside", "https://a.example/", ["a.*.example"], NO.ALLOWED_HOSTS_UNREADABLE),
]

HERE = "https://example.com/a/b?q=1"
REDIRECTED = [
    Redirected("absolute, same origin", HERE, "https://example.com/c", "https://example.com/c"),
    Redirected("absolute, default port written", HERE, "https://EXAMPLE.com:443/c", "https://example.com/c"),
    Redirected("absolute, another host", HERE, "https://other.example/c", "https://other.example/c", same_origin=False),
    Redirected("absolute, another port", HERE, "https://example.com:8443/", "https://example.com:8443/", same_origin=False),
    Redirected("http to https", "http://example.com/", "https://example.com/", "https://example.com/", same_origin=False),
    Redirected("http to http", "http://example.com/", "http://example.com/b", "http://example.com/b"),
    Redirected("https to http", HERE, "http://example.com/", NO.DOWNGRADE),
    Redirected("https to http, another host", HERE, "http://other.example/", NO.DOWNGRADE),
    Redirected("https to http, an opened host", HERE, "http://opened.example/", NO.DOWNGRADE),
    Redirected("without a scheme", HERE, "//other.example/c", "https://other.example/c", same_origin=False),
    Redirected("from the root", HERE, "/c?d", "https://example.com/c?d"),
    Redirected("relative", HERE, "c", "https://example.com/a/c"),
    Redirected("relative to a folder", "https://example.com/a/", "c", "https://example.com/a/c"),
    Redirected("query only", HERE, "?r=2", "https://example.com/a/b?r=2"),
    Redirected("fragment only", HERE, "#top", HERE),
    Redirected("empty", HERE, "", HERE),
    Redirected("up", HERE, "../c", "https://example.com/c"),
    Redirected("up beyond the root", HERE, "../../../c", "https://example.com/c"),
    Redirected("up to a folder", "https://example.com/a/b/c", "..", "https://example.com/a/"),
    Redirected("here", HERE, "./c/.", "https://example.com/a/c/"),
    Redirected("dots that hide slashes", HERE, "/.//other.example/", "https://example.com//other.example/"),
    Redirected("port kept", "https://example.com:8443/a", "b", "https://example.com:8443/b"),
    Redirected("IPv6 kept", "https://[2606:4700::1111]/a", "b", "https://[2606:4700::1111]/b"),
    Redirected("path that is not ASCII", HERE, "/\u00e4", "https://example.com/%C3%A4"),
    Redirected("absolute, with steps", HERE, "https://example.com/x/../y", "https://example.com/y"),
    Redirected("to loopback", "http://example.com/", "http://127.0.0.1/", NO.NOT_PUBLIC),
    Redirected("to metadata", "http://example.com/", "http://169.254.169.254/latest/", NO.METADATA),
    Redirected("to metadata without a scheme", "http://example.com/", "//169.254.169.254/", NO.METADATA),
    Redirected("to a number", "http://example.com/", "http://2130706433/", NO.NUMERIC_HOST),
    Redirected("to a bad port", HERE, "https://example.com:25/", NO.BAD_PORT),
    Redirected("to a user", HERE, "https://user@example.com/", NO.USERINFO),
    Redirected("to a file", HERE, "file:///etc/passwd", NO.SCHEME),
    Redirected("to a script", HERE, "javascript:alert(1)", NO.SCHEME),
    Redirected("to a scheme without slashes", HERE, "https:other.example", NO.SCHEME),
    Redirected("backslashes", HERE, "\\\\other.example/", NO.FORBIDDEN_CHARACTER),
    Redirected("slash and backslash", HERE, "/\\other.example/", NO.FORBIDDEN_CHARACTER),
    Redirected("three slashes", HERE, "///other.example/", NO.HOST),
    Redirected("line break", HERE, "/a\r\nb", NO.FORBIDDEN_CHARACTER),
    Redirected("leading blank", HERE, " https://other.example/", NO.FORBIDDEN_CHARACTER),
    Redirected("outside the tool's hosts", HERE, "https://unlisted.example/", NO.NOT_IN_ALLOWED_HOSTS),
]

BAD_ALLOW_ENTRIES = [
    BadEntry("a URL", "http://internal.example", "'http://internal.example': a URL; expected a host, an address or a network"),
    BadEntry("a user", "user:secret@internal.example:80", "'***@internal.example:80': userinfo"),
    BadEntry("a path", "internal.example/a", "'internal.example/a': not a network"),
    BadEntry("a wildcard", "*.internal.example", "'*.internal.example': host is not a name or address"),
    BadEntry("IPv6 without brackets", "fd00::1", "'fd00::1': an IPv6 address without brackets"),
    BadEntry("IPv6 network without brackets", "fd00::/8", "'fd00::/8': an IPv6 address without brackets"),
    BadEntry("prefix outside the brackets", "[fd00::]/8", "'[fd00::]/8': host is not a name or address"),
    BadEntry("brackets around IPv4", "[10.0.0.0/8]", "write 10.0.0.0/8"),
    BadEntry("host bits", "10.1.2.3/24", "'10.1.2.3/24': not the network's own spelling; write 10.1.2.0/24"),
    BadEntry("host bits of IPv6", "[fd00::1/16]:80", "write [fd00::/16]"),
    BadEntry("netmask", "10.0.0.0/255.0.0.0", "write 10.0.0.0/8"),
    BadEntry("prefix too long", "10.0.0.0/33", "'10.0.0.0/33': not a network"),
    BadEntry("short network", "10/8", "'10/8': not a network"),
    BadEntry("zone", "[fe80::%1/64]", "percent sign"),
    BadEntry("short address", "127.1", "'127.1': numeric host is not a dotted quad"),
    BadEntry("port zero", "a.example:0", "'a.example:0': port is not 1 to 65535"),
    BadEntry("port of a network", "10.0.0.0/8:99999", "'10.0.0.0/8:99999': port is not 1 to 65535"),
    BadEntry("bad port", "a.example:22", "'a.example:22': port of another protocol"),
    BadEntry("blank inside", "a.example b.example", "'a.example b.example': host is not a name or address"),
    BadEntry("not ASCII", "m\u00fcnchen.example", "host is not ascii"),
    BadEntry("the second entry", "a.example,b..example", "'b..example': host is not a name or address"),
    BadEntry("metadata", "169.254.169.254", "'169.254.169.254': a metadata address is never opened"),
    BadEntry("metadata with a port", "[fd00:ec2::254]:80", "a metadata address is never opened"),
    BadEntry("metadata network", "169.254.170.0/24", "a metadata address is never opened"),
    BadEntry("mapped metadata", "[::ffff:169.254.169.254]", "a metadata address is never opened"),
]
# fmt: on
