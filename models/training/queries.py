"""Texts that a listener may type: what the teacher is asked while a student learns from it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from models.training.captions import CaptionWeights, texts_of
from models.training.manifest import ManifestEntry

_GENRES = """
acoustic folk, acid jazz, afrobeat, alternative rock, ambient, ambient drone, baroque, big band,
black metal, bluegrass, blues, bossa nova, breakbeat, celtic folk, chamber music, chillout,
chiptune, choral music, classical, country, dance, dark ambient, death metal, disco, doom metal,
downtempo, drum and bass, dub, dubstep, easy listening, electro, electronic, electronica,
ethnic music, experimental, film score, flamenco, folk, folk rock, funk, fusion, garage rock,
gospel, grunge, hard rock, heavy metal, hip hop, house, industrial, indie rock, instrumental rock,
jazz, jungle, latin, lo-fi beats, lounge, march, medieval music, metal, minimal techno, musical,
new age, noise, oldies, opera, orchestral, polka, pop, post rock, power metal, progressive rock,
psychedelic, psytrance, punk, ragtime, rap, reggae, reggaeton, renaissance, rhythm and blues, rock,
rock and roll, salsa, samba, ska, smooth jazz, soft rock, soul, soundtrack, surf rock, swing,
symphonic metal, symphony, synthwave, tango, techno, thrash metal, trance, trap, trip hop,
video game music, waltz, world music
"""
_INSTRUMENTS = """
accordion, acoustic guitar, bagpipes, banjo, bass guitar, bassoon, bells, brass section, cello,
choir, church organ, clarinet, didgeridoo, distorted electric guitar, double bass, drum machine,
drums, electric guitar, electric piano, fiddle, flute, french horn, glockenspiel, gong,
hammond organ, hand percussion, harmonica, harp, harpsichord, horns, keyboard, koto, lute,
mandolin, marimba, music box, oboe, organ, panpipes, percussion, piano, pizzicato strings,
recorder, saxophone, sitar, slap bass, steel drums, string quartet, strings, synth bass, synth lead,
synth pad, synthesizer, tabla, taiko drums, timpani, trombone, trumpet, tuba, ukulele, vibraphone,
viola, violin, vocoder, whistle, xylophone
"""
_SOUNDS = """
a man singing, a woman singing, acapella vocals, a choir singing, rapping, screaming vocals,
growling vocals, spoken word, whispering, no vocals, instrumental, solo performance, a cappella,
heavy guitar riffs, clean guitar, fast drums, double bass drumming, hand claps, four on the floor,
breakbeats, deep bass, distorted bass, arpeggiated synths, eight bit sounds, noise and glitches,
a long drone, bird song and nature sounds, a live recording with applause, an orchestra playing,
a full band, a simple melody, a repeating loop, a guitar solo, a piano solo, a drum solo
"""
_MOODS = """
aggressive, angry, beautiful, bright, calm, catchy, cheerful, cinematic, cold, dark, dramatic,
dreamy, eerie, emotional, energetic, epic, ethereal, exciting, fast, funny, gentle, gloomy, groovy,
happy, heavy, heroic, hypnotic, intense, light, loud, lively, majestic, meditative, melancholic,
mellow, minimal, mysterious, nostalgic, party, peaceful, playful, powerful, quiet, relaxing,
romantic, sad, scary, sensual, serious, sleepy, slow, soft, solemn, spacey, tense, triumphant,
uplifting, upbeat, warm, weird, wild
"""
_LANGUAGES = """
musique classique, piano calme, guitare acoustique, chanson française, musique électronique,
heavy metal agressif, klassische Musik, elektronische Tanzmusik, langsames Klavier, laute Gitarren,
Chorgesang, ruhige Streicher, música clásica, guitarra flamenca, música electrónica, voz de mujer,
canción triste, rock rápido, musica orchestrale, pianoforte lento, música de dança, violão,
классическая музыка, тяжёлый рок, электронная музыка, женский вокал, спокойное пианино,
クラシック音楽, 静かなピアノ, 激しいロック, 電子音楽, 女性ボーカル, 古典音乐, 安静的钢琴, 摇滚乐,
电子音乐, 女声, 클래식 음악, 조용한 피아노, 록 음악
"""
_MOST_CAPTIONS = 4000


def vocabulary() -> list[str]:
    """List words of genre, instrument, sound and mood, some in pairs and in sentences."""
    genres, instruments = _words(_GENRES), _words(_INSTRUMENTS)
    sounds, moods = _words(_SOUNDS), _words(_MOODS)
    texts = [*genres, *instruments, *sounds, *moods, *_words(_LANGUAGES)]
    texts += [f"{genre} music" for genre in genres]
    texts += [f"music with {instrument}" for instrument in instruments]
    texts += [f"{mood} music" for mood in moods]
    # Neighbours in two lists of different length: every word in a few mixed company.
    texts += [
        f"{m} {g}" for m, g in itertools.islice(zip(moods * 4, genres * 3, strict=False), 200)
    ]
    mixed = zip(genres * 2, instruments * 3, strict=False)
    texts += [f"{g} with {i}" for g, i in itertools.islice(mixed, 160)]
    return texts


def query_texts(
    entries: Sequence[ManifestEntry], tags: Sequence[str], weights: CaptionWeights
) -> list[str]:
    """List queries without repetition: the teacher's tags, the vocabulary, training captions."""
    spoken = itertools.chain.from_iterable(
        texts_of(entry, weights).texts for entry in entries if entry.split == "train"
    )
    captions = list(dict.fromkeys(spoken))
    step = max(len(captions) // _MOST_CAPTIONS, 1)
    return list(dict.fromkeys([*tags, *vocabulary(), *captions[::step]]))


def _words(block: str) -> list[str]:
    return [word.strip().replace("\n", " ") for word in block.split(",") if word.strip()]
