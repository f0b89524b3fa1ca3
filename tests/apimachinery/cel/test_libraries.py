"""What the libraries' functions give, by what Kubernetes and cel-go document of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from navarch.apimachinery import quantity
from navarch.apimachinery.cel.environment import Environment
from navarch.apimachinery.cel.errors import EvaluationError
from navarch.apimachinery.cel.libraries.authorizer import Authorizer, Decision, Question

from .expressions import evaluate


@pytest.mark.parametrize(
    "text",
    [
        # strings
        "'hello'.charAt(1) == 'e' && 'hello'.charAt(5) == ''",
        "'hello'.indexOf('l') == 2 && 'hello'.indexOf('l', 4) == -1 && 'hello'.indexOf('', 2) == 2 && ''.indexOf('a') == -1",
        "'hello'.lastIndexOf('l') == 3 && 'hello'.lastIndexOf('l', 2) == 2 && 'hello'.lastIndexOf('') == 5",
        "'AbÇ'.lowerAscii() == 'abÇ' && 'abç'.upperAscii() == 'ABç'",
        "'hello'.replace('l', 'L') == 'heLLo' && 'hello'.replace('l', 'L', 1) == 'heLlo' && 'ab'.replace('', '-') == '-a-b-'",
        "'a,b,c'.split(',') == ['a', 'b', 'c'] && 'a,b,c'.split(',', 2) == ['a', 'b,c'] && 'abc'.split('') == ['a', 'b', 'c']",
        "'a,b'.split(',', 0) == [] && 'abc'.split('', 2) == ['a', 'bc'] && 'a,b'.split(',', -1) == ['a', 'b']",
        "'tacocat'.substring(4) == 'cat' && 'tacocat'.substring(0, 4) == 'taco'",
        "' \\t\\u00a0a '.trim() == 'a'",
        "['a', 'b'].join() == 'ab' && ['a', 'b'].join('-') == 'a-b'",
        "strings.quote('a\"b\\n') == '\"a\\\\\"b\\\\n\"'",
        "'%s %d %.1f %b %x %X %o %%'.format(['a', 1, 2.25, 5, 255, 'hi', 8]) == 'a 1 2.2 101 ff 6869 10 %'",
        "'%s'.format([[1, 'a', true, 2.5, null, {'k': b'x'}]]) == '[1, \"a\", true, 2.500000, null, {\"k\":b\"x\"}]'",
        "'%s'.format([duration('1s')]) == '1s' && '%s'.format([[duration('1s')]]) == '[duration(\"1s\")]'",
        "'%e'.format([1052.032911275]) == '1.052033\u202f×\u202f10⁰³' && '%.2f'.format([1234.5]) == '1,234.50'",
        "'%f %f'.format([double('Infinity'), double('NaN')]) == '∞ NaN'",
        # lists and sets
        "[1, 2, 2].isSorted() && !['b', 'a'].isSorted() && [].isSorted()",
        "[1, 3].sum() == 4 && [1.5, 2.0].sum() == 3.5 && [duration('1m'), duration('1s')].sum() == duration('61s')",
        "[1, 3].max() == 3 && ['b', 'a'].min() == 'a'",
        "[1, 2, 2].indexOf(2) == 1 && [1, 2, 2].lastIndexOf(2) == 2 && ['a'].indexOf('b') == -1",
        "sets.contains([1, 2, 3, 4], [2, 3]) && sets.equivalent([1, 1], [1]) && !sets.intersects([1], [2])",
        # regex
        "'abc 123'.find('[0-9]+') == '123' && 'abc'.find('[0-9]+') == ''",
        "'1 abc 2'.findAll('[0-9]+') == ['1', '2'] && '1 2 3'.findAll('[0-9]', 2) == ['1', '2'] && 'a'.findAll('b') == []",
        # urls
        "url('https://example.com:80/path?a=1&a=2&b=%20').getQuery() == {'a': ['1', '2'], 'b': [' ']}",
        "url('https://example.com:80/').getHost() == 'example.com:80' && url('https://example.com:80/').getPort() == '80'",
        "url('https://[::1]:80/').getHostname() == '::1' && url('https://[::1]/').getHost() == '[::1]'",
        "url('https://example.com/with space/').getEscapedPath() == '/with%20space/' && url('/a?b').getScheme() == ''",
        "isURL('/absolute') && !isURL('relative') && !isURL('../a') && url('https://a/b') == url('https://a/b')",
        # quantities
        "quantity('50M').isLessThan(quantity('50Mi')) && quantity('1.5G').compareTo(quantity('1500M')) == 0",
        "quantity('50k').add(20).asInteger() == 50020 && quantity('50k').sub(quantity('1k')) == quantity('49k')",
        "quantity('-1m').sign() == -1 && !quantity('1m').isInteger() && quantity('1500m').asApproximateFloat() == 1.5",
        "isQuantity('1.3Gi') && !isQuantity('1.3GiB') && !isQuantity('200K')",
        # addresses
        "ip('192.168.0.1').family() == 4 && ip('::1').family() == 6 && string(ip('2001:DB8::abcd')) == '2001:db8::abcd'",
        "isIP('10.0.0.1') && !isIP('10.0.0.256') && !isIP('::ffff:1.2.3.4') && !isIP('fe80::1%eth0')",
        "ip.isCanonical('::1') && !ip.isCanonical('2001:DB8::1') && ip('127.0.0.1') == ip('127.0.0.1')",
        "ip('127.0.0.1').isLoopback() && ip('0.0.0.0').isUnspecified() && ip('224.0.0.1').isLinkLocalMulticast()",
        "ip('ff02::1').isLinkLocalMulticast() && !ip('224.0.1.1').isLinkLocalMulticast() && ip('fe80::1').isLinkLocalUnicast()",
        "ip('192.168.0.1').isGlobalUnicast() && !ip('255.255.255.255').isGlobalUnicast() && !ip('ff00::1').isGlobalUnicast()",
        "cidr('192.168.0.0/24').containsIP('192.168.0.1') && !cidr('192.168.0.0/24').containsIP(ip('192.168.1.1'))",
        "cidr('192.168.0.0/16').containsCIDR('192.168.10.0/24') && !cidr('10.1.0.0/24').containsCIDR(cidr('10.0.0.0/16'))",
        "cidr('192.168.0.1/24').masked() == cidr('192.168.0.0/24') && cidr('192.168.0.1/24').ip() == ip('192.168.0.1')",
        "cidr('::1/128').prefixLength() == 128 && isCIDR('10.0.0.0/8') && !isCIDR('10.0.0.0/33') && !isCIDR('10.0.0.0/08')",
        "string(cidr('10.0.0.1/8')) == '10.0.0.1/8' && type(ip('::1')) == net.IP",
        # formats
        "!format.dns1123Label().validate('my-label').hasValue() && format.dns1123Label().validate('My').hasValue()",
        "!format.dns1123LabelPrefix().validate('my-label-').hasValue() && format.dns1123Label().validate('my-').hasValue()",
        "format.uuid().validate('x').value() == ['does not match the UUID format'] && !format.named('nope').hasValue()",
        "format.byte().validate('a=b').value() == ['invalid base64'] && !format.byte().validate('aGVsbG8=').hasValue()",
        "format.date().validate('2021-13-01').hasValue() && !format.datetime().validate('2021-01-01T00:00:00Z').hasValue()",
        "format.named('uri').value().validate('a').value() == ['parse \"a\": invalid URI for request']",
        # versions
        "semver('1.2.3').major() == 1 && semver('1.2.3').minor() == 2 && semver('1.2.3-a+b').patch() == 3",
        "semver('1.0.0-alpha.1').isLessThan(semver('1.0.0-alpha.beta')) && semver('1.0.0-2').isLessThan(semver('1.0.0-11'))",
        "semver('1.0.0-rc.1').isLessThan(semver('1.0.0')) && semver('1.0.0+a').compareTo(semver('1.0.0+b')) == 0",
        "!isSemver('v1.0') && isSemver('v1.0', true) && semver('v01.2', true) == semver('1.2.0') && !isSemver('1.0.01')",
    ],
)
def test_what_is_documented_holds(text: str) -> None:
    assert evaluate(text) is True


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("'a'.charAt(2)", "index out of range: 2"),
        ("'hello'.substring(3, 1)", "invalid substring range. start: 3, end: 1"),
        ("'%d'.format([dyn(1.5)])", "error during formatting: decimal clause can only be used on integers, was given double"),
        ("('%s' + ' %s').format([1])", "index 1 out of range"),
        ("('%' + 'q').format([1])", 'could not parse formatting clause: unrecognized formatting clause "q"'),
        ("[1].filter(e, e > 1).max()", "max called on empty list"),
        ("quantity('1X').isInteger()", quantity.FORMAT_ERROR),
        ("quantity('1m').asInteger()", "cannot convert value to integer"),
        ("ip('::ffff:1.2.3.4').family()", 'IPv4-mapped IPv6 address "::ffff:1.2.3.4" is not allowed'),
        ("semver('1.0').major()", "No Major.Minor.Patch elements found"),
        ("url('a').getHost()", 'URL parse error during conversion from string: parse "a": invalid URI for request'),
        ("'a'.find('*')", "error parsing regexp: missing argument to repetition operator: `*`"),
    ],
)  # fmt: skip
def test_what_has_no_result_says_why(text: str, message: str) -> None:
    with pytest.raises(EvaluationError) as raised:
        evaluate(text)
    assert str(raised.value) == message


def test_the_authorizer_is_asked() -> None:
    asked: list[Question] = []

    def ask(question: Question) -> Decision:
        asked.append(question)
        return Decision(question.verb == "create", reason="because", error="" if question.verb != "get" else "down")

    environment = Environment({"authorizer": Authorizer.cel_type})

    def value(text: str) -> Any:
        return environment.compile(text).evaluate({"authorizer": Authorizer(ask)})

    scale = "authorizer.group('apps').resource('deployments').subresource('scale')"
    assert value(f"{scale}.namespace('a').name('b').check('create').allowed()") is True
    wanted = Question("create", group="apps", resource="deployments", subresource="scale", namespace="a", name="b")
    assert asked.pop() == wanted
    assert value("authorizer.path('/healthz').check('get').error()") == "down"
    assert asked.pop() == Question("get", path="/healthz")
    text = "authorizer.serviceAccount('a', 'b').group('').resource('pods').labelSelector('x=y').check('list').reason()"
    assert value(text) == "because"
    selected = replace(Question("list", ("a", "b"), resource="pods"), label_selector="x=y")
    assert asked.pop() == selected
    for text, message in (
        ("authorizer.path(' ').check('get').allowed()", "path must not be empty"),
        ("authorizer.serviceAccount('A', 'b').path('/').check('get').allowed()", "Invalid service account namespace"),
    ):
        with pytest.raises(EvaluationError, match=message):
            value(text)
    assert not asked
    # Two checks are affordable, a third is not.
    check = "authorizer.path('/').check('create').allowed()"
    assert value(f"{check} && {check}") is True
    with pytest.raises(EvaluationError, match="actual cost limit exceeded"):
        value(f"{check} && {check} && {check}")
