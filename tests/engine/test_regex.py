"""The regular expressions of `matches`: RE2's meaning (RE2 itself is the oracle), in linear time and bounded memory."""

from __future__ import annotations

import contextlib
import random
import re
import sys
import threading
import unicodedata
from types import FrameType
from typing import Any

import pytest
import re2
from downhaul.engine.regex import PatternError, automaton, compile_pattern
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

SURROGATES = range(0xD800, 0xE000)
QUIET = re2.Options()
QUIET.log_errors = False


def oracle(pattern: str, text: str) -> bool:
    return re2.compile(pattern, QUIET).search(text) is not None


def found(pattern: str, text: str) -> bool:
    return compile_pattern(pattern).search(text)


TABLE = [
    # literals and their short cuts
    ("", ["", "a"]),
    ("beta", ["beta", "a beta b", "bet", "Beta", ""]),
    ("^beta", ["beta", "beta b", "a beta", ""]),
    ("beta$", ["beta", "a beta", "beta\n", "beta b"]),
    ("^beta$", ["beta", "beta ", "beta\n", "\nbeta"]),
    (r"\Abeta\z", ["beta", "beta\n"]),
    ("^$", ["", "\n", "a"]),
    (r"a\.b\_\-\ \/", ["a.b_- /", "axb_- /"]),
    ("{", ["{", "a"]),
    ("a{,5}", ["a{,5}", "aaaaa"]),
    ("a{2", ["a{2", "aa"]),
    ("]}", ["]}"]),
    # any character, classes
    ("a.c", ["abc", "a\nc", "aéc", "a😀c", "ac"]),
    ("(?s)a.c", ["a\nc"]),
    ("[a-c]", ["b", "d", "-"]),
    ("[^a-c]", ["b", "d", "\n", ""]),
    ("[]a]", ["]", "a", "b"]),
    ("[^]a]", ["]", "b"]),
    ("[a-]", ["-", "a", "b"]),
    ("[-a]", ["-", "a", "b"]),
    (r"[\d-z]", ["-", "5", "z", "a"]),
    (r"[\]\\^]", ["]", "\\", "^", "a"]),
    ("[a^]", ["^"]),
    ("[[.a.]]", ["a]", ".]", "[]", "x]"]),
    ("[é-ü]", ["ö", "z"]),
    ("[[:alpha:]_]", ["a", "_", "1", "é"]),
    ("[[:^alpha:]]", ["a", "1", "é"]),
    ("[^[:^alpha:]]", ["a", "1"]),
    ("[[:a]", [":", "[", "a", "b"]),
    *(
        (f"[[:{name}:]]", [chr(code) for code in range(256)])
        for name in (
            "alnum alpha ascii blank cntrl digit graph lower print punct space upper word xdigit".split()  # noqa: SIM905
        )
    ),
    *((rf"\{letter}", [chr(code) for code in range(256)]) for letter in "dDwWsS"),
    *((rf"[\{letter}_]", [chr(code) for code in range(256)]) for letter in "dDwWsS"),
    *((rf"(?i)\{letter}", ["ſ", "K", "k", "é", "1"]) for letter in "dDwWsS"),
    # escapes
    (r"\a\f\n\r\t\v", ["\a\f\n\r\t\v"]),
    (r"\x41\x{1F600}\07\0", ["A😀\a\0", "A"]),
    (r"\Qa.b\E+", ["a.b", "a.bbb", "axb"]),
    (r"\Qa.b", ["a.b", "axb"]),
    (r"a\Q\E*b", ["b", "aab"]),
    # anchors
    ("(?m)^b$", ["a\nb\nc", "ab", "b", "a\nb"]),
    ("(?m)$", ["", "a\n"]),
    (r"(?m)\Ab", ["a\nb", "b"]),
    ("a^b", ["ab", "a\nb"]),
    ("(?m)a$\n^b", ["a\nb", "ab"]),
    ("(^|x)a", ["a", "ba", "xa"]),
    ("a($|x)", ["a", "ab", "ax"]),
    (r"\bbeta\b", ["beta", "a beta.", "abeta", "betaé", "beta_", ""]),
    (r"\Bb", ["ab", "b", "a b"]),
    (r"a\B", ["ab", "a", "a b"]),
    (r"\b", ["", "a", " "]),
    (r"\B", ["", "a", " "]),
    (r"\b\B", ["a b"]),
    (r"^\b$|^\B$", [""]),
    # alternation and groups
    ("cat|dog|", ["bird"]),
    ("^(?:cat|dog)$", ["cat", "dog", "cats"]),
    ("a(b|c(d|e))f", ["abf", "acdf", "acef", "acf"]),
    ("(?P<name>a)(?<other>b)", ["ab", "ba"]),
    ("()", ["", "a"]),
    # flags
    ("(?i)straße", ["STRAßE", "STRASSE", "straẞe"]),
    ("(?i)k", ["K", "\u212a"]),
    ("(?i:a)b", ["Ab", "AB"]),
    ("a(?i)b", ["aB", "AB"]),
    ("(a(?i)b)c", ["aBc", "aBC"]),
    ("a|(?i)b|c", ["C", "A"]),
    ("(?i)a(?-i)b", ["Ab", "AB"]),
    ("(?is-m:A.)b", ["a\nb", "a\nB"]),
    ("(?U)a+b", ["aab"]),
    ("(?)a", ["a"]),
    ("(?i)[^k]", ["K", "\u212a", "x"]),
    ("(?i)[a-z]", ["\u212a", "ſ", "İ", "ı"]),
    (r"(?i)\x{3a3}", ["σ", "ς", "Σ"]),
    # repetition
    ("^a*$", ["", "aaa", "b"]),
    ("^a+$", ["", "aaa"]),
    ("^a?$", ["", "a", "aa"]),
    ("^a*?$|^b+?$|^c??$|^d{2}?$", ["aa", "bb", "c", "dd", "d"]),
    ("^a{0}b$", ["b", "ab"]),
    ("^a{2}$", ["a", "aa", "aaa"]),
    ("^a{2,}$", ["a", "aa", "aaa"]),
    ("^a{1,3}$", ["", "a", "aaa", "aaaa"]),
    ("^(a|b){2,3}c$", ["abc", "abac", "ac", "ababc"]),
    ("^(ab*){2}$", ["aab", "abbbabb", "ab"]),
    ("^(a?){3}$", ["", "aaa", "aaaa"]),
    ("(|a)*b", ["aab", "b", "a"]),
    ("(a*)*c", ["aac", "b"]),
    ("(?:^)*a", ["ba"]),
    ("a(?i)*b", ["b", "aab"]),
    # Unicode categories
    (r"^\p{Lu}\pL+$", ["Änderung", "änderung", "Ab1"]),
    (r"\PL", ["a", "1"]),
    (r"\p{^Nd}", ["a", "1"]),
    (r"[\pN_]", ["½", "_", "a"]),
    (r"(?i)\p{Lu}", ["a", "1"]),
    (r"(?i)^\P{Lu}$", ["a", "1"]),
    (r"\p{Sc}", ["€", "e"]),
]


@pytest.mark.parametrize(("pattern", "some"), TABLE, ids=[pattern for pattern, _ in TABLE])
def test_finds_what_re2_finds(pattern: str, some: list[str]) -> None:
    assert {text: found(pattern, text) for text in some} == {text: oracle(pattern, text) for text in some}


REFUSED_BY_BOTH = [
    ("*a", "nothing to repeat", 0),
    ("a|*", "nothing to repeat", 2),
    ("(+)", "nothing to repeat", 1),
    ("a**", "repetition of a repetition", 2),
    ("a*{2}", "repetition of a repetition", 2),
    ("a{2}{3}", "repetition of a repetition", 4),
    ("a{2,1}", "upper bound is below", 1),
    ("a{1001}", "at most 1,000", 1),
    ("x(a", "( without its closing", 1),
    ("a)", ") without its (", 1),
    ("x[a", "[ without its closing", 1),
    ("[a-", "[ without its closing", 0),
    ("[", "[ without its closing", 0),
    ("[]", "[ without its closing", 0),
    ("[z-a]", "runs backwards", 1),
    (r"[a-\d]", r"\d is no escape", 3),
    ("[[:foo:]]", "'foo'", 1),
    ("a\\", "backslash with nothing after", 1),
    (r"\q", r"\q is no escape", 0),
    (r"\é", r"\é is no escape", 0),
    (r"[\b]", r"\b is no escape", 1),
    (r"\x4", "hexadecimal", 0),
    (r"\x{}", "hexadecimal", 0),
    (r"\x{110000}", "hexadecimal", 0),
    (r"\x{41", "hexadecimal", 0),
    (r"\p{Foo}", "'Foo'", 0),
    (r"\p{L", "closing }", 0),
    (r"\p", "''", 0),
    ("(?i", "flags", 0),
    ("(?x)a", "flags", 0),
    ("(?i--s)a", "flags", 0),
    ("(?-)a", "flags", 0),
    ("(?i-:a)", "flags", 0),
    ("(?P<>a)", "name", 0),
    ("(?P<a-b>a)", "name", 0),
    ("(?P<a", "name", 0),
    (r"\Z", r"write \z", 0),
    (r"\u00e9", r"write \x{...}", 0),
    # What would need a memory of the text, and so more than linear time.
    (r"(a)\1", "backreference is not supported, because it cannot be matched in linear time", 3),
    ("(?P<n>a)(?P=n)", "backreference is not supported", 8),
    (r"(?P<n>a)\k<n>", "backreference is not supported", 8),
    ("a(?=b)", "lookahead is not supported, because it cannot be matched in linear time", 1),
    ("a(?!b)", "lookahead is not supported", 1),
    ("(?<=a)b", "lookbehind is not supported, because it cannot be matched in linear time", 0),
    ("(?<!a)b", "lookbehind is not supported", 0),
    ("(?>a)", "atomic group is not supported, because it cannot be matched in linear time", 0),
    ("a++", "possessive repetition is not supported, because it cannot be matched in linear time", 2),
    ("(a)(?(1)b)", "conditional group is not supported", 3),
    ("(?R)", "recursion is not supported", 0),
    ("(?#hello)a", "comment", 0),
]


@pytest.mark.parametrize(("pattern", "problem", "offset"), REFUSED_BY_BOTH)
def test_refuses_what_re2_refuses_and_says_what_is_wrong_and_where(pattern: str, problem: str, offset: int) -> None:
    with pytest.raises(PatternError) as refusal:
        compile_pattern(pattern)
    assert problem in str(refusal.value)
    assert str(refusal.value).endswith(f", at offset {offset}")
    assert refusal.value.offset == offset
    with pytest.raises(re2.error):
        oracle(pattern, "")


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        (r"\12", "backreference"),  # to RE2 a line feed, to Python a backreference: nobody should have to know
        (r"\C", "characters, not of bytes"),
        (r"\p{Greek}", "general categories"),
        (r"\p{Any}", "general categories"),
        ("a" * 1001, "at most 1,000 characters"),
        ("(" * 51 + ")" * 51, "at most 50 deep"),
        ("(?:a{900}|b{900}){3}", "at most 5,000 steps"),
        ("(((()){1000}){1000}){1000}", "at most 5,000 steps"),
        ("((((((a{9}){9}){9}){9}){9}){9})", "at most 5,000 steps"),
    ],
)
def test_refuses_what_re2_may_take_but_we_do_not(pattern: str, problem: str) -> None:
    with pytest.raises(PatternError, match=problem):
        compile_pattern(pattern)


def test_takes_groups_up_to_the_limit_of_nesting() -> None:
    assert found("(" * 50 + "a" + ")" * 50, "a")


def test_a_pattern_shows_its_text() -> None:
    assert repr(compile_pattern("a+")) == "compile_pattern('a+')"
    assert compile_pattern("a+").text == "a+"


# Generated patterns and texts -----------------------------------------------------------------------------------------

LETTERS = "abkKsSſ\u212aéÉσςΣß_ 1-.\n😀"
SETS = [".", "[ab]", "[^ab]", "[a-k]", "[^a-k\n]", r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", r"[\w-]", r"[^\W_]"]
SETS += ["[[:alpha:]]", "[[:^upper:]]", r"\pL", r"\PL", r"\p{Lu}", r"[^\p{Ll}1]", r"\x{e9}", r"\x41", r"\Qa.\E"]
PLACES = ["^", "$", r"\A", r"\z", r"\b"]
QUANTIFIERS = ["*", "+", "?", "*?", "+?", "??", "{2}", "{0}", "{0,2}", "{1,}", "{1,3}", "{2,}?"]
HEADS = ["(", "(?:", "(?i:", "(?s:", "(?m:", "(?P<n>", "(?-i:", "(?im-s:"]


def plain(char: str) -> str:
    return char if char.isalnum() or char in "_ \n" or not char.isascii() else "\\" + char


def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda options: "(?:" + "|".join(options) + ")"),
        st.tuples(st.sampled_from(HEADS), inner).map(lambda parts: f"{parts[0]}{parts[1]})"),
        st.tuples(inner, st.sampled_from(QUANTIFIERS)).map(lambda parts: f"(?:{parts[0]}){parts[1]}"),
    )


def patterns(places: list[str]) -> st.SearchStrategy[str]:
    atoms = st.one_of(st.sampled_from(LETTERS).map(plain), st.sampled_from(SETS), st.sampled_from(places))
    grown = st.recursive(atoms, grow, max_leaves=12)
    return st.tuples(st.sampled_from(["", "", "(?i)", "(?s)", "(?m)"]), grown).map("".join)


texts = st.text(st.sampled_from(LETTERS), max_size=12)


@settings(max_examples=600, deadline=None)
@given(patterns(PLACES), st.lists(texts, min_size=1, max_size=6))
def test_generated_patterns_find_what_re2_finds(pattern: str, some: list[str]) -> None:
    pattern = pattern.replace("(?P<n>", "(")  # names may not repeat in RE2
    ours, theirs = compile_pattern(pattern), re2.compile(pattern, QUIET)
    assert [ours.search(text) for text in some] == [theirs.search(text) is not None for text in some]


@settings(max_examples=300, deadline=None)
@given(
    patterns([*PLACES, r"\B"]), st.lists(st.text(st.sampled_from("abkK_ 1-\n"), max_size=12), min_size=1, max_size=6)
)
def test_generated_patterns_with_no_word_edge_find_what_re2_finds_in_ascii(pattern: str, some: list[str]) -> None:
    """In ASCII only: RE2 sees places inside the bytes of one character, where no word ends."""
    pattern = pattern.replace("(?P<n>", "(")
    ours, theirs = compile_pattern(pattern), re2.compile(pattern, QUIET)
    assert [ours.search(text) for text in some] == [theirs.search(text) is not None for text in some]


SOUP = [
    *"ab01.*+?|()[]{}^$-,:\\/ ",
    "(?",
    "(?i)",
    "(?:",
    "[^",
    "[:alpha:]",
    r"\d",
    r"\b",
    r"\Q",
    r"\E",
    r"\x",
    "{2}",
    "é",
]


@settings(max_examples=1500, deadline=None)
@given(st.lists(st.sampled_from(SOUP), max_size=10).map("".join), st.text(st.sampled_from("ab01-\n{}é"), max_size=8))
@example("[[:a", "")
@example(r"a\E", "")
def test_any_soup_of_syntax_is_taken_or_refused_as_re2_does(pattern: str, text: str) -> None:
    assume(not re.search(r"\\[1-9]", pattern))  # refused here: some read an octal number, others a backreference
    try:
        theirs = re2.compile(pattern, QUIET)
    except re2.error:
        with pytest.raises(PatternError):
            compile_pattern(pattern)
    else:
        assert found(pattern, text) == (theirs.search(text) is not None)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=30))
def test_any_text_at_all_compiles_or_raises_a_pattern_error(pattern: str) -> None:
    with contextlib.suppress(PatternError):
        compile_pattern(pattern)


any_char = st.characters() | st.sampled_from([chr(code) for code in (0, 0xD800, 0xDFFF, 0xFFFF, 0x10FFFF)])


@settings(max_examples=300, deadline=None)
@given(patterns([*PLACES, r"\B"]), st.text(any_char, max_size=20))
def test_hostile_texts_never_raise(pattern: str, text: str) -> None:
    assert found(pattern, text) in (True, False)


def test_a_lone_surrogate_is_a_character_like_any_other() -> None:
    assert found("^.$", "\ud800")
    assert found(r"^[^a]$", "\udfff")
    assert found(r"\x{d800}", "a\ud800b")
    assert not found(r"\w|\s|\pL", "\ud800")


def test_there_is_no_place_inside_a_character() -> None:
    assert not found(r"\B", "aéb")  # RE2 finds one, between the two bytes of the é


# Every character ------------------------------------------------------------------------------------------------------


def every_char() -> list[str]:
    return [chr(code) for code in range(0x110000) if code not in SURROGATES]


def test_upper_and_lower_case_of_every_letter_are_the_same_as_re2s() -> None:
    known = [char for char in every_char() if unicodedata.category(char) != "Cn"]
    cased = {char for char in known if len({char, char.lower(), char.upper(), char.casefold()}) > 1}
    everyone = "".join(sorted(cased))
    for char in sorted(cased):
        theirs = set(re2.findall(f"(?i)\\x{{{ord(char):x}}}", everyone))
        ours = {other for other in {char, *theirs, *char.lower(), *char.upper()} if found(f"(?i)^{char}$", other)}
        assert ours == theirs, char


@pytest.mark.parametrize("category", ["L", "Lu", "Ll", "N", "Nd", "P", "S", "Zs", "M"])
def test_general_categories_are_the_running_pythons(category: str) -> None:
    search = compile_pattern(rf"\p{{{category}}}").search
    sample = random.Random(7).sample(every_char(), 5_000)
    assert [char for char in sample if search(char)] == [
        char for char in sample if unicodedata.category(char).startswith(category)
    ]


# Linear time, bounded memory ------------------------------------------------------------------------------------------


def work(pattern: str, text: str) -> int:
    """How many lines of Python a first search runs: a measure that a busy machine does not change."""
    search = compile_pattern(pattern).search
    lines = 0

    def count(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        search(text)
    finally:
        sys.settrace(before)
    return lines


@pytest.mark.parametrize(
    ("pattern", "unit"),
    [
        ("(a+)+$", "a"),
        ("(a|aa)+$", "a"),
        ("(x+x+)+y", "x"),
        ("(.*)*$", "a"),
        ("(.*)*=", "a"),
        ("^(([a-z])+.)+[A-Z]([a-z])+$", "a"),
        ("a{0,100}a{100}b", "a"),
        ("(a?){50}a{50}b", "a"),
        (r"(\w+\s?)+!", "word "),
        (r"(?:\b|a)*\B(?:a|\b)*c", "a b"),
    ],
)
def test_twice_the_text_is_at_most_about_twice_the_work(pattern: str, unit: str) -> None:
    text = (unit * 10_000)[:10_000] + "!?"
    whole, half = work(pattern, text), work(pattern, text[:5_000] + "!?")
    assert whole < 2.2 * half + 1_000


@pytest.mark.parametrize("pattern", ["a{0,500}a{500}b", "(a?){500}a{500}b", "(?:a{0,30}){30}b", "a[ab]{900}c"])
def test_large_counts_come_to_an_end(pattern: str) -> None:
    coin = random.Random(13)
    mixed = "".join(coin.choice("ab") for _ in range(1_000)).replace("ab", "a")
    assert [found(pattern, text) for text in ("a" * 10_000, mixed)] == [False, oracle(pattern, mixed)]


def test_states_that_never_repeat_cost_at_most_the_program_each() -> None:
    pattern, coin = "a[ab]{100}c", random.Random(3)
    text = "".join(coin.choice("ab") for _ in range(2_000))
    assert work(pattern, text) < 2.2 * work(pattern, text[:1_000]) + 1_000


def test_searches_keep_at_most_so_many_states_and_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automaton, "MAX_STATES", 50)
    monkeypatch.setattr(automaton, "MAX_CHARS", 100)
    pattern, coin = compile_pattern("a[ab]{12}c|é$"), random.Random(5)
    searcher: Any = pattern.search.__self__  # type: ignore[attr-defined]
    for _ in range(20):
        text = "".join(coin.choice("ab") for _ in range(500)) + "".join(map(chr, range(300, 600)))
        assert not pattern.search(text)
        assert pattern.search(text + "é")
        assert len(searcher._states) <= 50
        assert len(searcher._alphabet) <= 100


def test_a_large_program_is_allowed_fewer_states() -> None:
    searcher: Any = compile_pattern("(?:a|b){0,900}c").search.__self__  # type: ignore[attr-defined]
    assert searcher._limit * len(searcher._code) <= automaton.MAX_ADDRESSES


def test_threads_that_build_the_same_states_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automaton, "MAX_STATES", 20)  # so that they forget them under each other's feet
    expression, coin = r"a[ab]{6}a\b", random.Random(11)
    some = ["".join(coin.choice("ab ") for _ in range(60)) for _ in range(200)]
    expected = [oracle(expression, text) for text in some]
    pattern, answers, barrier = compile_pattern(expression), [], threading.Barrier(4)

    def search_all() -> None:
        barrier.wait()
        answers.append([pattern.search(text) for text in some])

    threads = [threading.Thread(target=search_all) for _ in range(4)]
    switching = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(switching)
    assert answers == [expected] * 4
    assert True in expected and False in expected
