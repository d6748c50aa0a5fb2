/* Every complaint about a configuration file. */

#include "config_test.h"

#define IN "/dir/c.yaml:"

static const struct {
    const char *text, *line;
} refused[] = {
    {"upstreams:\n  payments:\n    match: p.test\n    maxSocket: 5\n",
     IN "4:5: error: unknown key 'maxSocket' in upstreams.payments (did you mean 'maxSockets'?)"},
    {"upstream: {}\n", IN "1:1: error: unknown key 'upstream' (did you mean 'upstreams'?)"},
    {"defaults:\n  timeouts:\n    conect: 5s\n",
     IN "3:5: error: unknown key 'conect' in defaults.timeouts (did you mean 'connect'?)"},
    {"nonsense: 1\n", IN "1:1: error: unknown key 'nonsense'"},
    {"timeouts: {request: 2s}\n",
     IN "1:1: error: unknown key 'timeouts' (did you mean 'defaults.timeouts'?)"},
    {"accessLog: {file: x}\n",
     IN "1:13: error: unknown key 'file' in accessLog; there are path, format, query"},
    {"upstreams: {match: a.test}\n", IN
     "1:13: error: bad value for upstreams.match: must be a map, not a value; it is an option of an upstream: indent it "
     "below the upstream's name"},
    {"upstreams: {a: a.test}\n", IN
     "1:13: error: bad value for upstreams.a: must be a map, not a value; for example {match: example.com}"},
    {"listen: 127.0.0.1:31280000\n", IN
     "1:9: error: bad value '127.0.0.1:31280000' for listen: must be host:port with a port from 1 to 65535"},
    {"upstreams: {a: {match: '[::1]:0'}}\n", IN
     "1:24: error: bad value '[::1]:0' for upstreams.a.match: must be host:port with a port from 1 to 65535"},
    {"tls: true\n", IN "1:1: error: unknown key 'tls' (did you mean 'upstreams.NAME.tls'?)"},
    {"maxSocket: 1\n", IN "1:1: error: unknown key 'maxSocket' (did you mean 'defaults.maxSockets'?)"},
    {"defaults: {match: a.test}\n",
     IN "1:12: error: unknown key 'match' in defaults (did you mean 'upstreams.NAME.match'?)"},
    {"upstreams: {a: {match:x}}\n", IN "1:17: error: unknown key 'match:x' in upstreams.a (did you mean "
                                       "'match'?); a space must follow the colon"},
    {"upstreams:\n  a:\n    match: *.internal\n",
     IN "3:12: error: a value that begins with '*' must be in quotes: write \"*.internal\""},
    {"upstreams: {a: {match: [a.test, *]}}\n",
     IN "1:33: error: a value that begins with '*' must be in quotes: write \"*\""},
    {"upstreams: {a: {match: *internal}}\n",
     IN "1:24: error: a value that begins with '*' must be in quotes: write \"*internal\""},
    {"# f\xc3\xbcr M\xc3\xbcller\nupstreams: {a: {match: *.internal}}\n",
     IN "2:24: error: a value that begins with '*' must be in quotes: write \"*.internal\""},
    {"\xef\xbb\xbfupstreams: {a: {match: *.b\xc3\xbc}}\n",
     IN "1:24: error: a value that begins with '*' must be in quotes: write \"*.b\xc3\xbc\""},
    {"# \xc3\xbc\nlog:\n\tlevel: info\n",
     IN "3:1: error: broken YAML: found character that cannot start any token, while "
        "scanning for the next token; a tab cannot indent, use spaces"},
    {"# \xc3\xbc\nlog: {level: ${LEVEL}}\n", IN
     "2:15: error: broken YAML: did not find expected ',' or '}', while parsing a flow mapping; inside [ ] and { } a "
     "value with ${...} must be in quotes"},
    {"access: {clients: [::1]}\n", IN "1:20: error: broken YAML: did not find expected node content, while "
                                      "parsing a flow node; put the value in quotes"},
    {"upstreams:\n  a: match: x\n",
     IN "2:11: error: broken YAML: mapping values are not allowed in this context; put a value with ': ' in "
        "it in quotes, or a map on one line in { }"},
    {"accessLog:\n  path: -\n",
     IN "2:9: error: broken YAML: block sequence entries are not allowed in this "
        "context; write \"-\" where that is the value, and a list on one line in [ ]"},
    {"name: \"edge\n", IN "2:1: error: broken YAML: found unexpected end of stream, while scanning a quoted "
                          "scalar that began at line 1, column 7; is a closing quote missing?"},
    {"log: {level: info\n",
     IN "2:1: error: broken YAML: did not find expected ',' or '}', while parsing a flow "
        "mapping that began at line 1, column 6; is a comma or a closing bracket missing?"},
    {"workers: 1\nname\n",
     IN "3:1: error: broken YAML: could not find expected ':', while scanning a simple key "
        "that began at line 2, column 1; is ': ' missing after a key?"},
    {"maxSockets: 1\n", IN "1:1: error: unknown key 'maxSockets' (did you mean 'defaults.maxSockets'?)"},
    {"defaults: {pending: 1}\n",
     IN "1:12: error: unknown key 'pending' in defaults (did you mean 'timeouts.pending'?)"},
    {"upstreams: {a: {match: a, timeouts: {keepAlive: 1}}}\n", IN
     "1:38: error: unknown key 'keepAlive' in upstreams.a.timeouts (did you mean 'upstreams.a.keepAlive'?)"},
    {"log: {pending: 1}\n",
     IN "1:7: error: unknown key 'pending' in log (did you mean 'defaults.timeouts.pending'?)"},
    {"server: {listen: 127.0.0.1:1}\n",
     IN "1:10: error: unknown key 'listen' in server (did you mean 'listen', at the top?)"},
    {"defaults: {timeout: 1}\n",
     IN "1:12: error: unknown key 'timeout' in defaults: that is Node's name; here it is 'timeouts.socket'"},
    {"defaults: {timeout: {request: 2s}}\n",
     IN "1:12: error: unknown key 'timeout' in defaults (did you mean 'timeouts'?)"},
    {"upstreams: {a: {match: a, freeSocketTimeout: 1}}\n",
     IN "1:27: error: unknown key 'freeSocketTimeout' in upstreams.a: that is "
        "agentkeepalive's name; here it is "
        "'timeouts.free'"},
    {"server:\n  maxConnections: 1\n  maxConnections: 2\n",
     IN "3:3: error: duplicate key 'maxConnections' in server (first on line 2)"},
    {"log: {}\nlog: {}\nlog: {}\n", IN "2:1: error: duplicate key 'log' (first on line 1)\n" IN
                                       "3:1: error: duplicate key 'log' (first on line 1)"},
    {"log: {}\nserver: {}\nlog: {}\n", IN "3:1: error: duplicate key 'log' (first on line 1)"},
    {"upstreams:\n  a: {match: a.test}\n  a: {match: b.test}\n",
     IN "3:3: error: duplicate key 'a' in upstreams (first on line 2)"},
    {"server: 5\n",
     IN "1:9: error: bad value for server: must be a map, not a value; for example {maxConnections: 10000}"},
    {"- a\n", IN "1:1: error: bad value for the file: must be a map, not a list"},
    {"upstreams: [a]\n",
     IN "1:12: error: bad value for upstreams: must be a map, not a list; for example {NAME: {match: "
        "example.com}}"},
    {"defaults: {maxSockets: [1]}\n",
     IN "1:24: error: bad value for defaults.maxSockets: must be a whole number (0 or Infinity: "
        "no limit), not a list"},
    {"defaults: {maxSockets: }\n",
     IN "1:24: error: bad value for defaults.maxSockets: must be a whole number (0 or Infinity: "
        "no limit), not nothing"},
    {"defaults: {maxSockets: -1}\n", IN
     "1:24: error: bad value '-1' for defaults.maxSockets: must be a whole number (0 or Infinity: no limit)"},
    {"server: {maxHeaderSize: 512}\n",
     IN "1:25: error: bad value '512' for server.maxHeaderSize: must be a size in bytes, KiB or "
        "MiB (such as 65536, 16KiB "
        "or 1MiB) from 1KiB to 1MiB"},
    {"defaults: {family: 5}\n", IN "1:20: error: bad value '5' for defaults.family: must be any, 4 or 6"},
    {"upstreams: {default: {match: x}}\n",
     IN "1:13: error: bad upstream name 'default': this name is reserved for what no upstream "
        "matches; choose another"},
    {"upstreams: {a: {match: x.test}, b: {match: X.Test.}}\n",
     IN "1:44: error: the pattern 'X.Test.' of upstreams.b is already in upstreams.a (line 1)"},
    {"log: {level: loud}\nworkers: 0\n",
     IN "2:10: error: bad value '0' for workers: must be a whole number from 1 to 256, or auto"},
    {"a: 1\n---\nb: 1\n",
     IN "3:1: error: a second YAML document begins here; the file must hold one (is a '---' too many?)"},
    {"server:\n\tmaxConnections: 5\n",
     IN "2:1: error: broken YAML: found character that cannot start any token, while "
        "scanning for the next token; a tab "
        "cannot indent, use spaces"},
    {"a: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
     IN "1:35: error: lists and maps are nested 33 deep, more than any option; is a bracket not closed?"},
    {"a: \xff\n", IN "1:4: error: not YAML text: invalid leading UTF-8 octet"},
    {"listen: [0.0.0.0:1]\n",
     IN "1:10: error: listen: '0.0.0.0:1' can be reached from other hosts while "
        "access.clients has its default: set it "
        "to those who may use it, such as [127.0.0.0/8, 10.0.0.0/8], or listen on 127.0.0.1"},
    {"name: \"a\\nb\"\n",
     IN "1:7: error: bad value 'a\\x0ab' for name: must be one word of letters, digits and "
        "-._~, at most 64 characters long"},
    {"name: ${CARPOOL_TEST_UNSET}\n",
     IN "1:7: error: bad value '${CARPOOL_TEST_UNSET}' for name: the environment variable "
        "CARPOOL_TEST_UNSET is not set; "
        "set it, or write ${CARPOOL_TEST_UNSET:-default} to go without"},
};

START_TEST(each_mistake_is_told_in_its_place)
{
    assert_refused(refused[_i].text, refused[_i].line);
}
END_TEST

static const struct {
    const char *text, *words;
} refused_for[] = {
    {"listen: [127.0.0.1:0]\n", "bad value '127.0.0.1:0' for listen"},
    {"listen: [example.com:80]\n", "bad value 'example.com:80' for listen"},
    {"listen: [\"unix:/a?mode=8\"]\n", "octal"},
    {"listen: [\"unix:/a?mode=7777\"]\n", "octal"},
    {"listen: [\"unix:/a?owner=x\"]\n", "octal"},
    {"listen: [\"unix:\"]\n", "missing"},
    {"listen: [\"unix:@x\"]\n", "abstract"},
    {"listen: [127.0.0.1:1, 127.0.0.1:1]\n",
     "c.yaml:1:23: error: listen: '127.0.0.1:1' is in use already, by listen\n"},
    {"listen: 127.0.0.1:3129\n", "'127.0.0.1:3129' is in use already, by admin.listen (its default)"},
    {"listen: [127.0.0.1:1, 0.0.0.0:1]\naccess: {clients: [10.0.0.0/8]}\n",
     "listen: '0.0.0.0:1' is in use already, by '127.0.0.1:1' of listen"},
    {"upstreams: {a: {match: a, listen: 127.0.0.1:3128}}\n",
     "upstreams.a.listen: '127.0.0.1:3128' is in use already, by listen (its default)"},
    {"upstreams: {a: {match: a, listen: \"[::]:9\"}}\n", "access.clients"},
    {"admin: {listen: 0.0.0.0:9}\naccess: {clients: [10.0.0.0/8]}\n", "admin.clients"},
    {"listen: 0.0.0.0:9\naccess: {clients: [127.0.0.0/8, \"::1\"]}\n", "access.clients"},
    {"admin: {listen: [127.0.0.1:1]}\n", "not a list"},
    {"access: {clients: [127.0.0.0/33]}\n", "access.clients"},
    {"access: {clients: [10.1.0.0/8]}\n", "host bits must be zero: write 10.0.0.0/8"},
    {"access: {denyAddresses: [\"2001:db8:1::/32\"]}\n", "host bits must be zero: write 2001:db8::/32"},
    {"access: {clients: }\n", "not nothing"},
    {"access: {connectPorts: [0]}\n", "access.connectPorts"},
    {"access: {denyAddresses: [x]}\n", "access.denyAddresses"},
    {"shutdownTimeout: 5d\n", "shutdownTimeout"},
    {"shutdownTimeout: 1.5s\n", "shutdownTimeout"},
    {"shutdownTimeout: 9000h\n", "shutdownTimeout"},
    {"server: {maxHeaderSize: 16KB}\n", "maxHeaderSize"},
    {"server: {maxHeadersCount: 0}\n", "maxHeadersCount"},
    {"server: {maxHeadersCount: Infinity}\n", "maxHeadersCount"},
    {"defaults: {retries: 11}\n", "retries"},
    {"defaults: {keepAlive: yes}\n", "must be true or false"},
    {"defaults: {maxSockets: 4294967295}\n", "maxSockets"},
    {"defaults: {localAddress: 10.0.0.1, family: 6}\n", "is not of family 6"},
    {"defaults: {localAddress: localhost}\n", "an IP address"},
    {"defaults: {localAddress: 10.0.0.1}\nupstreams: {a: {match: a, family: 6}}\n", "c.yaml:2:27"},
    {"defaults: {proxy: https://px.test}\n",
     "bad value for defaults.proxy: Carpool speaks only plain HTTP to a parent proxy"},
    {"defaults: {proxy: 'socks5://px.test:1080'}\n", "only plain HTTP to a parent proxy"},
    {"defaults: {proxy: 'px.test:3128'}\n", "does not begin with http://"},
    {"defaults: {proxy: 'http://'}\n", "names no host"},
    {"defaults: {proxy: 'http://px.test:99999'}\n", "names no host, or no port"},
    {"defaults: {proxy: 'http://px.test/path'}\n", "nothing may follow its port"},
    {"defaults: {proxy: 'http://a%2:b@px.test'}\n", "its user has a colon, or a character"},
    {"defaults: {proxy: 'http://a%3ab:c@px.test'}\n", "has a colon"},
    {"defaults: {proxy: 'http://a:b%0a@px.test'}\n", "its password has a character"},
    {"defaults: {proxy: 'http://px.test'}\nupstreams: {a: {match: a, address: '10.0.0.1:80'}}\n",
     "c.yaml:2:27"},
    {"upstreams: {a: {match: a, address: '10.0.0.1:80', proxy: 'http://px.test'}}\n", "write proxy: \"\""},
    {"upstreams: {a: {maxSockets: 1}}\n", "upstreams.a has no match"},
    {"upstreams: {a: }\n", "upstreams.a has no match"},
    {"upstreams: {a: {match: []}}\n", "upstreams.a has no match"},
    {"upstreams: {a: {match: 'https://a.test/'}}\n",
     "write only the host, and tls: true if it is reached by https"},
    {"upstreams: {a: {match: a, address: 'http://10.0.0.7:80'}}\n",
     "write only host:port, and tls: true if it is reached by https"},
    {"admin: {hosts: ['http://a.test']}\n", "a URL is not accepted: write only the host\n"},
    {"upstreams: {a: {match: a, host: 'https://a.test'}}\n", "a URL is not accepted: write only the host\n"},
    {"upstreams: {a: {match: a, address: 10.0.0.7}}\n",
     "bad value '10.0.0.7' for upstreams.a.address: must be host:port"},
    {"upstreams: {a: {match: a, address: '10.0.7:80'}}\n", "an IPv4 address: four numbers from 0 to 255"},
    {"upstreams: {a: {match: a, proxy: 'px.test:3128'}}\n",
     "upstreams.a.proxy: it does not begin with http://"},
    {"upstreams: {a: {match: 'a.*.test'}}\n", "match"},
    {"upstreams: {a: {match: '*:80'}}\n", "match"},
    {"upstreams: {a: {match: '*.'}}\n", "match"},
    {"upstreams: {a: {match: 'a:0'}}\n", "match"},
    {"upstreams: {a: {match: 'a:'}}\n", "match"},
    {"upstreams: {a: {match: '::1'}}\n", "match"},
    {"upstreams: {a: {match: 'a..b'}}\n", "match"},
    {"upstreams: {a: {match: 'http://a/'}}\n", "match"},
    {"upstreams: {a: {match: '127.1'}}\n", "must be an IPv4 address: four numbers from 0 to 255"},
    {"upstreams: {a: {match: '0x7f.1'}}\n", "must be an IPv4 address: four numbers from 0 to 255"},
    {"upstreams: {a: {match: [0177.0.0.1]}}\n", "must be an IPv4 address: four numbers from 0 to 255"},
    {"upstreams: {a: {match: 2130706433}}\n", "must be an IPv4 address: four numbers from 0 to 255"},
    {"upstreams: {a: {match: '0x7f000001:80'}}\n", "must be an IPv4 address: four numbers from 0 to 255"},
    {"upstreams: {a: {match: 1.2.3.4.}}\n", "c.yaml:1:24: error: bad value '1.2.3.4.' for upstreams.a.match"},
    {"upstreams: {a: {match: 256.1.1.1}}\n", "must be an IPv4 address: four numbers from 0 to 255"},
    {"upstreams: {a: {match: '*.127.1'}}\n", "must be an IPv4 address: four numbers from 0 to 255"},
    {"upstreams: {a: {match: '*.127.0.0.1:80'}}\n", "must be an IPv4 address: four numbers from 0 to 255"},
    {"upstreams: {a: {host: '127.1', listen: 127.0.0.1:9}}\n", "bad value '127.1' for upstreams.a.host"},
    {"upstreams: {a: {match: a, address: '10.1:80'}}\n",
     "must be an IPv4 address: four numbers from 0 to 255"},
    {"upstreams: {a: {host: a.test}}\n", "works only with listen"},
    {"upstreams: {a: {match: '*.test', listen: 127.0.0.1:9}}\n", "needs one host"},
    {"upstreams: {a: {match: [a, b], listen: 127.0.0.1:9}}\n", "needs one host"},
    {"upstreams: {a: {match: a, address: 10.0.0.1}}\n", "address"},
    {"upstreams: {a: {match: a, tls: }}\n", "true, false or a map"},
    {"upstreams: {a: {match: a, tls: {rejectUnauthorised: false}}}\n",
     "unknown key 'rejectUnauthorised' in upstreams.a.tls (did you mean 'rejectUnauthorized'?)"},
    {"upstreams: {a: {match: a, tls: {minVersion: SSLv3}}}\n", "TLSv1.2"},
    {"upstreams: {a: {match: a, tls: {ciphers: nonsense}}}\n", "ciphers"},
    {"upstreams: {'a/b': {match: a}}\n", "bad upstream name"},
    {"upstreams: {'*': {match: a}}\n", "bad upstream name"},
    {"upstreams: {\"a\\tb\": {match: a}}\n", "bad upstream name"},
    {"upstreams: {'': {match: a}}\n", "bad upstream name"},
    {"upstreams: {a: {<<: {}, match: a}}\n", "merge keys"},
    {"? [a]\n: 1\n", "must be a name"},
    {"name: \"a\\0b\"\n", "NUL"},
    {"defaults: &a {timeouts: *a}\n", "unknown key 'timeouts' in defaults.timeouts"},
    {"listen: &a [*a]\n", "not a list"},
    {"name: \"a$b\"\n", "a dollar by itself"},
    {"log: {level: ${X}}\n", "must be in quotes"},
    {"callers: group\n", "off, user or unit"},
    {"defaults: {queue: lifo}\n", "fifo or fair"},
    {"defaults: {queue: fair}\n",
     "c.yaml:1:12: error: defaults.queue: fair needs callers: user or callers: unit (it is off)"},
    {"defaults: {allow: root}\n",
     "c.yaml:1:12: error: defaults.allow needs callers: user or callers: unit (it is off)"},
    {"callers: off\nupstreams: {a: {match: a, allow: [root]}}\n",
     "c.yaml:2:27: error: upstreams.a.allow needs callers: user or callers: unit (it is off)"},
    {"callers: user\nupstreams: {a: {match: a, allow: [root, no-such-user]}}\n",
     "c.yaml:2:27: error: upstreams.a.allow: there is no user 'no-such-user'; name one of this host"},
    {"callers: user\ndefaults: {allow: 'uid:'}\n", "no user 'uid:'"},
    {"callers: user\ndefaults: {allow: 'uid:4294967295'}\n", "no user 'uid:4294967295'"},
    {"callers: user\ndefaults: {allow: cron.service}\n", "for units, set callers: unit"},
};

START_TEST(what_makes_no_sense_is_refused)
{
    assert_refused_for(refused_for[_i].text, refused_for[_i].words);
}
END_TEST

/* No warning of what a bad value would do. */
START_TEST(a_bad_value_changes_nothing)
{
    char *messages = NULL;
    size_t size;
    FILE *f = open_memstream(&messages, &size);
    ck_assert_ptr_null(config_parse(SLICE("upstreams: {a: {match: a, tls: {rejectUnauthorized: no}}}\n"),
                                    "c.yaml", NULL, f));
    fclose(f);
    ck_assert_str_eq(messages, "c.yaml:1:53: error: bad value 'no' for upstreams.a.tls.rejectUnauthorized: "
                               "must be true or false\n");
    free(messages);
}
END_TEST

void add_mistake_tests(Suite *suite)
{
    TCase *mistakes = tcase_create("mistakes");
    tcase_add_loop_test(mistakes, each_mistake_is_told_in_its_place, 0,
                        (int)(sizeof refused / sizeof refused[0]));
    tcase_add_loop_test(mistakes, what_makes_no_sense_is_refused, 0,
                        (int)(sizeof refused_for / sizeof refused_for[0]));
    tcase_add_test(mistakes, a_bad_value_changes_nothing);
    suite_add_tcase(suite, mistakes);
}
