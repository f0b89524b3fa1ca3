"""Go's templates, as Stages use them."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.apimachinery import yamlcodec
from navarch.simulation.stages import execute, gotemplate
from navarch.simulation.stages.functions import FUNCTIONS
from navarch.simulation.stages.gotemplate import TemplateError

DATA = {
    "name": "web",
    "count": 3,
    "ratio": 0.5,
    "on": True,
    "empty": [],
    "labels": {"b": "2", "a": "1"},
    "items": [{"name": "x", "port": 1}, {"name": "y", "port": 2}, {"name": "z"}],
}


def render(text: str, data: Any = DATA) -> str:
    return execute.render(gotemplate.parse(text, frozenset(FUNCTIONS)), data, FUNCTIONS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a {{ .name }} b", "a web b"),
        ("{{.count}} {{.ratio}} {{.on}} {{.labels}} {{.empty}}", "3 0.5 true map[a:1 b:2] []"),
        ("{{ .none }} {{ .none.at.all }}", "<no value> <no value>"),
        ("  {{- .name -}}  !", "web!"),
        ("a{{/* a comment */}}b {{- /* another */ -}} c", "abc"),
        ("{{ $x := .count }}{{ $x }}{{ $x = 5 }}{{ $x }}", "35"),
        ("{{ if .on }}yes{{ else }}no{{ end }}", "yes"),
        ("{{ if .empty }}a{{ else if eq .name \"web\" }}b{{ else }}c{{ end }}", "b"),
        ("{{ with .labels }}{{ .a }}{{ end }}{{ with .none }}x{{ else }}-{{ end }}", "1-"),
        ("{{ with .none }}x{{ else with .name }}{{ . }}{{ end }}", "web"),
        ("{{ range .items }}{{ .name }},{{ end }}", "x,y,z,"),
        ("{{ range $i, $item := .items }}{{ $i }}{{ $item.name }}{{ $.name }} {{ end }}", "0xweb 1yweb 2zweb "),
        ("{{ range $k, $v := .labels }}{{ $k }}={{ $v }};{{ end }}", "a=1;b=2;"),
        ("{{ range .empty }}x{{ else }}none{{ end }}", "none"),
        ("{{ range .none }}x{{ end }}", ""),
        ("{{ range $i := 3 }}{{ $i }}{{ end }}", "012"),
        ("{{ range .items }}{{ if eq .name \"y\" }}{{ break }}{{ end }}{{ .name }}{{ end }}", "x"),
        ("{{ range .items }}{{ if eq .name \"y\" }}{{ continue }}{{ end }}{{ .name }}{{ end }}", "xz"),
        ("{{ $f := 0 }}{{ range .items }}{{ if eq .name \"y\" }}{{ $f = 1 }}{{ end }}{{ end }}{{ $f }}", "1"),
        ("{{ define \"t\" }}<{{ .a }}{{ $.b }}>{{ end }}{{ template \"t\" dict \"a\" 1 \"b\" .name }}", "<1web>"),
        ("{{ (index .items 1).name }}{{ index .labels \"a\" }}{{ index .labels \"none\" }}", "y1<no value>"),
        ("{{ or .none \"\" .name }}|{{ and .on .count }}|{{ not .on }}", "web|3|false"),
        ("{{ or .name (index .none 1) }}", "web"),
        ("{{ eq .count 1 3 }} {{ ne .name \"a\" }} {{ lt .count 4 }}", "true true true"),
        ("{{ ge 2 3 }} {{ eq .none \"x\" }}", "false false"),
        ("{{ .name | printf \"%s-%d\" \"a\" | len }}", "17"),
        ("{{ printf \"%03d|%-4s|%4s|%q|%v|%5.1f|%%\" 7 \"a\" \"b\" \"c\" .empty 2.25 }}", '007|a   |   b|"c"|[]|  2.2|%'),
        ("{{ len (printf \"x%*s\" .count \"x\") }}", "4"),
        ("{{ printf \"%d\" \"a\" }} {{ printf \"%s\" }} {{ printf \"a\" 1 }}", '%!d(string=a) %!s(MISSING) a%!(EXTRA int=1)'),
        ("{{ .count.Int64 }}{{ .count.String }}", "33"),
        ("{{ Quote .name }} {{ .count | Quote }} {{ Quote .labels }}", '"web" "3" "{\\"a\\":\\"1\\",\\"b\\":\\"2\\"}"'),
        ("a:{{ YAML .labels 1 }}", "a:\n  a: '1'\n  b: '2'\n  "),
        ("{{ add1 .count }} {{ add 1 2 3 }} {{ sub 5 2 }} {{ mul 2 3 }}", "4 6 3 6"),
        ("{{ div -7 2 }} {{ mod -7 2 }} {{ max 1 5 2 }}", "-3 -1 5"),
        ("{{ atoi \"12\" }}{{ atoi \"x\" }} {{ int (ceil (divf 5 2)) }}", "120 3"),
        ("{{ .none | default \"d\" }} {{ default \"d\" .name }} {{ ternary \"a\" \"b\" .on }}", "d web a"),
        ("{{ dict | len }} {{ (dict \"a\" 1).a }} {{ hasKey .labels \"a\" }} {{ join \",\" (keys .labels) }}", "0 1 true a,b"),
        ("{{ upper .name }} {{ trunc 2 .name }} {{ replace \"e\" \"a\" .name }} {{ contains \"e\" .name }}", "WEB we wab true"),
        ("{{ list 1 2 3 | last }} {{ until 3 }} {{ has 2 (list 1 2) }} {{ quote .name 1 }}", '3 [0 1 2] true "web" "1"'),
        ("{{ b64enc .name }} {{ b64dec \"d2Vi\" }}", "d2Vi web"),
        ("{{ toJson .labels }} {{ (fromJson \"[1]\") }}", '{"a":"1","b":"2"} [1]'),
        ("{{ `raw \\n` }} {{ \"a\\tb\" }} {{ 0x10 }} {{ -1 }} {{ 1.5 }} {{ true }}", "raw \\n a\tb 16 -1 1.5 true"),
        ("{{ nindent 2 \"a\\nb\" }}|{{ coalesce .none 0 .name }}", "\n  a\n  b|web"),
    ],
)  # fmt: skip
def test_templates(text: str, expected: str) -> None:
    assert render(text) == expected


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a\n{{ nope .x }}", 2, "function 'nope' is not defined"),
        ("a\n{{ now | Quote }}", 2, "function 'now' is not defined"),
        ("{{ if .a }}\nb", 1, "{{if}} has no {{end}}"),
        ("a\n\n{{ end }}", 3, "unexpected {{end}}"),
        ("{{ .a", 1, "an action is not closed"),
        ("x\n{{ .a # }}", 2, "unexpected '#' in an action"),
        ("{{ $x }}", 1, "undefined variable $x"),
        ("{{ $x = 1 }}", 1, "undefined variable $x"),
        ("{{ if .a }}{{ $x := 1 }}{{ end }}{{ $x }}", 1, "undefined variable $x"),
        ('{{ define "t" }}{{ $x }}{{ end }}', 1, "undefined variable $x"),
        ("{{ break }}", 1, "{{break}} outside {{range}}"),
        ('{{ block "a" . }}{{ end }}', 1, "{{block}} is not supported"),
        ("{{ if .a }}{{ else }}{{ else }}{{ end }}", 1, "a second {{else}} of {{if}}"),
        ("{{ }}", 1, "missing value for an action"),
        ("{{ .a .b }}", 1, "what takes arguments should be a function"),
        ("{{ .a | .b }}", 1, "what a pipe leads to should be a function"),
        ("{{ (.a }}", 1, "unexpected '}}' in a parenthesis"),
        ("{{ if .a }}" * 60, 1, "it is nested deeper than 50"),
        ("{{ " + "(" * 60 + " }}", 1, "it is nested deeper than 50"),
        ('{{ "\\q" }}', 1, "\\q in a string is not supported"),
    ],
)
def test_what_is_no_template_is_refused_with_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        gotemplate.parse(text, frozenset(FUNCTIONS))
    assert (caught.value.line, str(caught.value)) == (line, message)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("\n{{ index .items 7 }}", 2, "index: index out of range: 7"),
        ("{{ index .none 0 }}", 1, "index: index of untyped nil"),
        ("{{ .name.x }}", 1, "can't evaluate field x in string"),
        ("{{ eq .name 1 }}", 1, "eq: incompatible types for comparison"),
        ("{{ div 1 0 }}", 1, "div: division by zero"),
        ("{{ range .name }}{{ end }}", 1, "range can't iterate over web"),
        ("{{ template \"t\" }}", 1, "template 't' not defined"),
        ('{{ define "t" }}{{ template "t" }}{{ end }}{{ template "t" }}', 1, "templates include each other more than 50 deep"),
        ("{{ range $i := 1000000 }}aaaa{{ end }}", 1, "it makes more than 1000000 characters"),
        ("{{ repeat 1000000 .name }}", 1, "repeat: it makes more than 100000 characters"),
        ("{{ until 1000000 }}", 1, "until: it makes more than 100000"),
        ("{{ fail \"because\" }}", 1, "fail: because"),
        ("{{ upper .count }}", 1, "upper: it takes other arguments: "),
    ],
)  # fmt: skip
def test_what_cannot_be_carried_out_is_told_with_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        render(text)
    assert caught.value.line == line and str(caught.value).startswith(message)


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)


@given(TEXT.filter(lambda text: "{{" not in text))
def test_text_without_actions_is_itself(text: str) -> None:
    assert render(text) == text


@given(TEXT)
def test_string_literals_say_what_they_are(text: str) -> None:
    assert render("{{ " + json.dumps(text, ensure_ascii=False) + " }}") == text


@given(JSON)
def test_what_yaml_writes_is_read_as_the_same(value: Any) -> None:
    assert yamlcodec.load(render("{{ YAML . }}", value))[0] == value
    assert yamlcodec.load(render("a:\n  {{ YAML . 2 }}", value))[0] == {"a": value}


@given(TEXT)
def test_what_is_quoted_is_a_string_of_yaml(text: str) -> None:
    assert yamlcodec.load(render("a: {{ Quote . }}", text))[0] == {"a": text}


@given(st.text(max_size=60))
def test_nothing_but_an_error_of_its_own_comes_of_any_text(text: str) -> None:
    for template in (text, "{{ " + text, "{{ " + text + " }}"):
        with contextlib.suppress(TemplateError):
            render(template)
