import pytest

from service.search.languages import language_warnings


@pytest.mark.parametrize(
    ("text", "languages"),
    [
        ("calm piano, 120 bpm!", ("en",)),
        ("café fantasía", ("en",)),
        ("安静的钢琴", ("en", "zh")),
        ("静かなピアノ", ("ja",)),
        ("", ("en",)),
        ("123 !?", ("zh",)),
    ],
)
def test_a_script_that_the_model_knows_is_no_cause_for_a_warning(
    text: str, languages: tuple[str, ...]
) -> None:
    assert language_warnings([text], languages) == []


@pytest.mark.parametrize(
    ("text", "languages", "script"),
    [
        ("安静的钢琴", ("en",), "Chinese"),
        ("тихое пианино", ("en", "zh"), "Cyrillic"),
        ("조용한 피아노", ("en", "zh"), "Korean"),
        ("calm piano", ("zh",), "Latin"),
        ("ᚠᚢᚦ", ("en",), "Runic"),
    ],
)
def test_a_script_that_it_was_not_taught_is_named_once(
    text: str, languages: tuple[str, ...], script: str
) -> None:
    (warning,) = language_warnings([text, text], languages)
    assert script in warning
    assert all(language in warning for language in languages)
