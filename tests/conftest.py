"""Fixtures that all tests share."""

pytest_plugins = [
    "tests.support.database",
    "tests.support.milvus",
    "tests.support.s3",
]
