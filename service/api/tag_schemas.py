"""Wire types of tags and vocabularies."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from service.api.schemas import Track, Wire

Choice = Literal["single", "multiple"]

# Without control characters, which upset one database or another.
_CLEAN = r"^[^\x00-\x1f\x7f]*$"
LabelText = Annotated[str, Field(min_length=1, max_length=200, pattern=_CLEAN)]
Template = Annotated[
    str, Field(min_length=7, max_length=200, pattern=_CLEAN, examples=["{label} music"])
]
Templates = Annotated[list[Template], Field(max_length=20)]
Name = Annotated[str, Field(max_length=64, pattern=r"^[a-z0-9][a-z0-9_-]*$", examples=["genre"])]
Probability = Annotated[float, Field(ge=0, le=1)]


class LabelSpec(Wire):
    """A label with what is special about it."""

    label: LabelText
    prompts: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=400, pattern=_CLEAN)]],
        Field(max_length=20),
    ] = Field(default_factory=list, description="Sentences to ask instead of the templates.")
    threshold: Probability | None = Field(None, description="Probability to be assigned from.")
    weak: bool = Field(False, description="Scored, but never assigned.")
    note: Annotated[str, Field(max_length=500, pattern=_CLEAN)] | None = Field(
        None, description="For people: what is known of how well the model tells this."
    )


class GroupSpec(Wire):
    """Labels that belong together; of single choice, at most one of them is assigned."""

    name: Name
    choice: Choice = "multiple"
    templates: Templates = Field(default_factory=list, description="Each holds {label}.")
    threshold: Probability | None = Field(
        None, description="For its labels without one of their own."
    )
    labels: Annotated[list[LabelText | LabelSpec], Field(min_length=1, max_length=500)]


class TagOptions(Wire):
    """What is asked: labels, groups of labels, or a stored vocabulary."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"labels": ["calm piano", "heavy metal"]},
                {
                    "groups": [
                        {"name": "mood", "labels": ["calm", "dark"]},
                        {"name": "genre", "choice": "single", "labels": ["jazz", "rock"]},
                    ],
                    "timeline": True,
                },
                {"vocabulary": "standard"},
            ]
        }
    )

    labels: Annotated[list[LabelText], Field(min_length=1, max_length=500)] | None = Field(
        None, description="Labels of one group of multiple choice, named labels."
    )
    groups: Annotated[list[GroupSpec], Field(min_length=1, max_length=50)] | None = None
    vocabulary: Name | None = Field(None, description="The name of a stored vocabulary.")
    version: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Of the vocabulary; by default its current one."
    )
    templates: Templates = Field(
        default_factory=list,
        description="For groups without their own; each holds {label}. By default the bundle's.",
    )
    timeline: bool = Field(False, description="Also give each label along time.")

    @model_validator(mode="after")
    def _one_question(self) -> TagOptions:
        given = [self.labels, self.groups, self.vocabulary]
        if sum(value is not None for value in given) != 1:
            raise ValueError("give one of labels, groups and vocabulary")
        if self.vocabulary is None and self.version is not None:
            raise ValueError("version belongs to a vocabulary")
        if self.vocabulary is not None and self.templates:
            raise ValueError("a vocabulary has its own templates")
        return self


class TagRequest(TagOptions):
    """Which of these labels fit the track, or its seconds start_s to end_s?"""

    track_id: str
    start_s: Annotated[float, Field(ge=0)] | None = None
    end_s: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _span_has_a_length(self) -> TagRequest:
        if self.start_s is not None and self.end_s is not None and self.end_s <= self.start_s:
            raise ValueError("end_s must lie after start_s")
        return self


class TagScore(Wire):
    group: str
    label: str
    rank: int = Field(description="Within its group, from 1.")
    score: float = Field(description="Cosine similarity, as it comes from the model.")
    relevance: float | None = Field(
        description="The share of reference music that this label fits less."
    )
    probability: float | None = Field(description="Calibrated; null where the bundle has none.")
    assigned: bool = Field(
        description="Whether the label is given to the target; see docs/tags.md."
    )
    weak: bool = Field(description="The vocabulary says that the model cannot tell this.")


class TagGroup(Wire):
    group: str
    choice: Choice
    assigned: list[str] = Field(description="The labels given to the target, best first.")
    items: list[TagScore] = Field(description="Best first.")


class TimelineRow(Wire):
    group: str
    label: str
    values: list[float] = Field(description="One for each passage.")


class TagTimeline(Wire):
    """Labels along time, best first; a long answer keeps the labels that fit the whole best."""

    measure: Literal["probability", "relevance", "score"] = Field(
        description="What the values are: the most telling that the bundle can give."
    )
    starts_s: list[float]
    ends_s: list[float]
    rows: list[TimelineRow]
    omitted_labels: int = Field(description="Labels left out to keep the answer small.")


class TagResponse(Wire):
    items: list[TagScore] = Field(description="All labels, best first.")
    groups: list[TagGroup]
    timeline: TagTimeline | None
    vocabulary: str | None
    version: int | None
    model_id: str
    warnings: list[str] = Field(default_factory=list)


class TrackTags(Wire):
    """The tags that a track was given when it was analysed or tagged again."""

    track_id: str
    vocabulary: str | None = Field(description="Null before the track was tagged.")
    version: int | None
    is_current: bool = Field(description="False while the library waits to be tagged again.")
    tagged_at: datetime | None
    groups: list[TagGroup]
    timeline: TagTimeline | None
    model_id: str


class VocabularyIn(Wire):
    """Labels in groups; saving them under a name makes a new version of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "description": "For our game's score",
                    "groups": [
                        {
                            "name": "tension",
                            "choice": "single",
                            "templates": ["{label} music", "a {label} scene"],
                            "labels": ["calm", {"label": "tense", "threshold": 0.4}],
                        }
                    ],
                }
            ]
        }
    )

    description: Annotated[str, Field(max_length=1000, pattern=_CLEAN)] | None = None
    groups: Annotated[list[GroupSpec], Field(min_length=1, max_length=50)]
    make_default: bool = Field(
        False, description="Tag every track with it: the library is tagged again."
    )


class VocabularySummary(Wire):
    name: str
    version: int
    is_default: bool = Field(description="Whether tracks are tagged with it.")
    description: str | None
    labels: int
    created_at: datetime


class VocabularyList(Wire):
    items: list[VocabularySummary] = Field(description="The current version of each, by name.")


class VocabularyVersion(Wire):
    version: int
    created_at: datetime
    is_current: bool


class Vocabulary(Wire):
    name: str
    version: int
    is_current: bool
    is_default: bool = Field(description="Whether tracks are tagged with this version.")
    description: str | None
    created_at: datetime
    groups: list[GroupSpec]
    versions: list[VocabularyVersion] = Field(description="All of them, newest first.")
    tagged_tracks: int = Field(description="Tracks that have tags of this version.")
    tracks: int = Field(description="Tracks that could have: all that were analysed.")


class SavedVocabulary(Wire):
    vocabulary: Vocabulary
    new_version: bool = Field(description="False where the current version said the same already.")
    job_id: str | None = Field(description="The job that tags the library again, if that is due.")


class LabelTrack(Wire):
    track: Track
    score: float
    relevance: float | None
    probability: float | None
    assigned: bool


class LabelDistribution(Wire):
    """A label over the library: one that means something to the model spreads, and its ends fit."""

    vocabulary: str
    version: int
    group: str
    label: str
    in_vocabulary: bool = Field(description="False for a label that was only tried.")
    weak: bool
    choice: Choice
    threshold: float = Field(
        description="Probability to be assigned from; relevance, where the bundle is uncalibrated."
    )
    tracks: int
    assigned: int
    share: float = Field(description="Assigned among all tracks.")
    relevances: list[int] | None = Field(description="Tracks in 20 equal bins from 0 to 1.")
    probabilities: list[int] | None = Field(description="Tracks in 20 equal bins from 0 to 1.")
    top: list[LabelTrack] = Field(description="The tracks that it fits best.")
    bottom: list[LabelTrack] = Field(description="The tracks that it fits least, that first.")
    model_id: str
    warnings: list[str] = Field(default_factory=list)
