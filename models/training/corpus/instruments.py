"""General MIDI programs by the names that people use for them, and their families."""

from __future__ import annotations

_NAMES = (
    "piano,bright piano,electric grand piano,honky-tonk piano,electric piano,electric piano,"
    "harpsichord,clavinet,celesta,glockenspiel,music box,vibraphone,marimba,xylophone,"
    "tubular bells,dulcimer,drawbar organ,percussive organ,rock organ,church organ,reed organ,"
    "accordion,harmonica,bandoneon,nylon-string guitar,steel-string guitar,jazz guitar,"
    "clean electric guitar,muted electric guitar,overdriven guitar,distorted guitar,"
    "guitar harmonics,double bass,electric bass,picked bass,fretless bass,slap bass,slap bass,"
    "synth bass,synth bass,violin,viola,cello,contrabass,tremolo strings,pizzicato strings,harp,"
    "timpani,string ensemble,string ensemble,synth strings,synth strings,choir,voices,synth voice,"
    "orchestra hit,trumpet,trombone,tuba,muted trumpet,french horn,brass section,synth brass,"
    "synth brass,soprano saxophone,alto saxophone,tenor saxophone,baritone saxophone,oboe,"
    "english horn,bassoon,clarinet,piccolo,flute,recorder,pan flute,blown bottle,shakuhachi,"
    "whistle,ocarina,square-wave synth,saw-wave synth,calliope synth,chiff synth,charang synth,"
    "voice synth,fifths synth,bass and lead synth,new age pad,warm pad,polysynth,choir pad,"
    "bowed pad,metallic pad,halo pad,sweep pad,rain effect,soundtrack effect,crystal effect,"
    "atmosphere effect,brightness effect,goblins effect,echoes effect,science-fiction effect,"
    "sitar,banjo,shamisen,koto,kalimba,bagpipes,fiddle,shanai,tinkle bell,agogo,steel drums,"
    "woodblock,taiko drum,melodic tom,synth drum,reverse cymbal,fret noise,breath noise,seashore,"
    "bird tweet,telephone ring,helicopter,applause,gunshot"
)

PROGRAM_NAMES: tuple[str, ...] = tuple(_NAMES.split(","))

_FAMILY_STARTS: tuple[tuple[int, str], ...] = (
    (0, "piano"),
    (8, "mallets"),
    (16, "organ"),
    (21, "accordion"),
    (24, "guitar"),
    (32, "bass"),
    (40, "strings"),
    (46, "harp"),
    (47, "timpani"),
    (48, "strings"),
    (52, "choir"),
    (55, "orchestra hit"),
    (56, "brass"),
    (64, "saxophone"),
    (68, "woodwind"),
    (72, "flute"),
    (80, "synthesizer"),
    (104, "world instrument"),
    (112, "percussion"),
    (120, "sound effect"),
)

# Other names that people type for the same instrument.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "piano": ("acoustic piano", "grand piano"),
    "bright piano": ("piano",),
    "electric grand piano": ("piano",),
    "honky-tonk piano": ("saloon piano", "piano"),
    "electric piano": ("rhodes piano", "keyboard"),
    "harpsichord": ("cembalo", "baroque keyboard"),
    "vibraphone": ("vibes", "mallets"),
    "marimba": ("mallet percussion",),
    "drawbar organ": ("organ", "hammond organ"),
    "percussive organ": ("organ",),
    "rock organ": ("organ", "hammond organ"),
    "church organ": ("pipe organ", "organ"),
    "reed organ": ("harmonium", "organ"),
    "nylon-string guitar": ("classical guitar", "acoustic guitar"),
    "steel-string guitar": ("acoustic guitar", "folk guitar"),
    "jazz guitar": ("electric guitar", "guitar"),
    "clean electric guitar": ("electric guitar", "guitar"),
    "muted electric guitar": ("palm-muted guitar", "electric guitar"),
    "overdriven guitar": ("electric guitar", "rock guitar"),
    "distorted guitar": ("heavy electric guitar", "distortion", "electric guitar"),
    "double bass": ("upright bass", "acoustic bass"),
    "electric bass": ("bass guitar", "bass"),
    "picked bass": ("bass guitar", "bass"),
    "fretless bass": ("bass guitar", "bass"),
    "slap bass": ("funky bass", "bass guitar"),
    "synth bass": ("electronic bass", "bass synthesizer"),
    "violin": ("fiddle", "bowed strings"),
    "cello": ("violoncello", "bowed strings"),
    "string ensemble": ("strings", "orchestral strings", "violins"),
    "tremolo strings": ("strings",),
    "pizzicato strings": ("plucked strings",),
    "synth strings": ("strings", "string machine"),
    "choir": ("choral voices", "singing choir"),
    "voices": ("choir", "vocal oohs"),
    "french horn": ("horn", "brass"),
    "brass section": ("brass", "horn section"),
    "muted trumpet": ("trumpet",),
    "soprano saxophone": ("saxophone", "sax"),
    "alto saxophone": ("saxophone", "sax"),
    "tenor saxophone": ("saxophone", "sax"),
    "baritone saxophone": ("saxophone", "low sax"),
    "recorder": ("wooden flute",),
    "square-wave synth": ("chiptune lead", "8-bit synthesizer", "synth lead"),
    "saw-wave synth": ("synth lead", "synthesizer"),
    "warm pad": ("synth pad", "soft synthesizer chords"),
    "sweep pad": ("synth pad",),
    "polysynth": ("synthesizer chords", "synthesizer"),
    "bagpipes": ("scottish pipes",),
    "steel drums": ("caribbean steel pan",),
    "sitar": ("indian sitar",),
    "koto": ("japanese koto",),
    "shamisen": ("japanese lute",),
}

# Programs that carry a tune alone: what a solo or a lead voice is drawn from.
MELODIC_PROGRAMS: tuple[int, ...] = (
    0, 4, 6, 9, 10, 11, 12, 13, 16, 19, 21, 22, 24, 25, 26, 27, 29, 30, 40, 41, 42, 46, 48, 52,
    56, 57, 58, 60, 61, 64, 65, 66, 67, 68, 70, 71, 72, 73, 74, 75, 77, 79, 80, 81, 104, 105, 107,
    108, 109, 110, 114,
)  # fmt: skip


def program_name(program: int) -> str:
    """Return the everyday name of a General MIDI program, 0 to 127."""
    return PROGRAM_NAMES[program]


def program_family(program: int) -> str:
    """Return the family of a General MIDI program: "piano", "strings", "brass", ..."""
    family = ""
    for start, name in _FAMILY_STARTS:
        if program < start:
            break
        family = name
    return family
