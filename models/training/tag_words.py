"""Templates for lists of tags in several languages, and common tags in those languages.

A tag that is not in the table stays as it is: names of styles mostly cross languages unchanged.
"""

from __future__ import annotations

TEMPLATES: dict[str, tuple[str, ...]] = {
    "en": ("{tags}", "{tags} music", "a {tags} track", "music: {tags}"),
    "fr": ("{tags}", "musique {tags}", "un morceau : {tags}", "musique : {tags}"),
    "de": ("{tags}", "Musik: {tags}", "ein Stück mit {tags}", "{tags}, Musik"),
    "es": ("{tags}", "música {tags}", "una pieza: {tags}", "música: {tags}"),
    "zh": ("{tags}", "{tags}音乐", "一首{tags}的曲子", "音乐:{tags}"),
    "ja": ("{tags}", "{tags}の音楽", "{tags}の曲", "音楽:{tags}"),
    "ru": ("{tags}", "музыка: {tags}", "композиция: {tags}", "{tags}, музыка"),
}
SEPARATORS = {"zh": "、", "ja": "、"}
_LANGUAGES = ("fr", "de", "es", "zh", "ja", "ru")
_WORDS = """
acoustic|acoustique|akustisch|acústico|原声|アコースティック|акустика
aggressive|agressif|aggressiv|agresivo|激烈|攻撃的|агрессивный
ambient|ambient|Ambient|ambient|氛围|アンビエント|эмбиент
bass|basse|Bass|bajo|贝斯|ベース|бас
blues|blues|Blues|blues|蓝调|ブルース|блюз
brass|cuivres|Blechbläser|metales|铜管|金管|медные духовые
calm|calme|ruhig|tranquilo|平静|穏やか|спокойный
choir|chœur|Chor|coro|合唱|合唱|хор
classical|classique|klassisch|clásica|古典|クラシック|классика
country|country|Country|country|乡村|カントリー|кантри
dance|danse|Tanz|baile|舞曲|ダンス|танцевальный
dark|sombre|düster|oscuro|黑暗|暗い|мрачный
drums|batterie|Schlagzeug|batería|鼓|ドラム|ударные
electronic|électronique|elektronisch|electrónica|电子|電子|электронный
energetic|énergique|energisch|enérgico|充满活力|エネルギッシュ|энергичный
epic|épique|episch|épico|史诗|壮大|эпический
fast|rapide|schnell|rápido|快速|速い|быстрый
female vocals|voix de femme|Frauenstimme|voz femenina|女声|女性ボーカル|женский вокал
flute|flûte|Flöte|flauta|长笛|フルート|флейта
folk|folk|Folk|folk|民谣|フォーク|фолк
guitar|guitare|Gitarre|guitarra|吉他|ギター|гитара
happy|joyeux|fröhlich|alegre|快乐|楽しい|весёлый
hip hop|hip-hop|Hip-Hop|hip hop|嘻哈|ヒップホップ|хип-хоп
jazz|jazz|Jazz|jazz|爵士|ジャズ|джаз
male vocals|voix d'homme|Männerstimme|voz masculina|男声|男性ボーカル|мужской вокал
metal|metal|Metal|metal|金属|メタル|метал
orchestral|orchestral|orchestral|orquestal|管弦乐|オーケストラ|оркестровый
organ|orgue|Orgel|órgano|管风琴|オルガン|орган
piano|piano|Klavier|piano|钢琴|ピアノ|пианино
pop|pop|Pop|pop|流行|ポップ|поп
reggae|reggae|Reggae|reggae|雷鬼|レゲエ|регги
relaxing|relaxant|entspannend|relajante|放松|リラックス|расслабляющий
rock|rock|Rock|rock|摇滚|ロック|рок
romantic|romantique|romantisch|romántico|浪漫|ロマンチック|романтический
sad|triste|traurig|triste|悲伤|悲しい|грустный
saxophone|saxophone|Saxofon|saxofón|萨克斯|サックス|саксофон
slow|lent|langsam|lento|缓慢|遅い|медленный
strings|cordes|Streicher|cuerdas|弦乐|ストリングス|струнные
synthesizer|synthétiseur|Synthesizer|sintetizador|合成器|シンセサイザー|синтезатор
trumpet|trompette|Trompete|trompeta|小号|トランペット|труба
violin|violon|Geige|violín|小提琴|バイオリン|скрипка
"""
_TABLE = {
    line.split("|")[0]: dict(zip(_LANGUAGES, line.split("|")[1:], strict=True))
    for line in _WORDS.strip().splitlines()
}


def list_translations() -> list[tuple[str, str]]:
    """List English texts of one tag, in every template, each with its form in another language."""
    return [
        (english.format(tags=tag), other.format(tags=words[language]))
        for tag, words in _TABLE.items()
        for language in _LANGUAGES
        for english, other in zip(TEMPLATES["en"], TEMPLATES[language], strict=True)
    ]


def translate_tag(tag: str, language: str) -> str:
    """Return a tag in a language, or as it is where the table does not have it."""
    return _TABLE.get(tag, {}).get(language, tag)
