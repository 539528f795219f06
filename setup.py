"""Three folders of the checkout are one import package: `conformance`, with the others beneath it.

So no module that a user has in his folder, such as ``implementations.py``, can hide a part of it.
Everything else about the distribution is in pyproject.toml.
"""

from setuptools import find_namespace_packages, setup

FOLDERS = {
    "conformance": "conformance",
    "conformance.implementations": "implementations",
    "conformance.reports": "reports",
}


def _beneath(folder: str) -> list[str]:
    """Return the packages, and the folders of data, beneath a folder."""
    return find_namespace_packages(folder, exclude=["*__pycache__", "*node_modules*"])


setup(
    package_dir=FOLDERS,
    packages=[
        package
        for root, folder in FOLDERS.items()
        for package in (root, *(f"{root}.{inner}" for inner in _beneath(folder)))
    ],
)
