"""What a worker's interpreter runs first, by file path: nothing of this environment is on its path.

Written so that old interpreters can read it, and say what is wrong in one line. The arguments are
the folders of packages, a folder to hide, "" for none, and five file descriptors
(`conformance.isolation.process`).
"""

import json
import os
import pickle
import struct
import sys

OLDEST = (3, 11)


def refuse(answers, reason):
    """Send the frame that tells the run why this interpreter cannot serve, and end."""
    header = pickle.dumps(("refused", reason), 2)
    os.write(answers, struct.pack("<4sIQ", b"cvf1", len(header), 0) + header)
    os._exit(0)


def main(packages, hidden, *numbers):
    """Split into a guardian and the worker that it guards, and serve."""
    requests, answers, control, status, page = [int(number) for number in numbers]
    if sys.version_info < OLDEST:
        version = ".".join(str(part) for part in sys.version_info[:3])
        needed = ".".join(str(part) for part in OLDEST)
        refuse(answers, "it is Python %s; a worker needs %s or later" % (version, needed))
    sys.path.pop(0)  # this folder
    folder = os.path.dirname(os.path.abspath(__file__))
    guardian = by_location("convformance_guardian", os.path.join(folder, "guardian.py"))
    guardian.guard(control, status, (requests, answers, page))
    hiding = by_location("convformance_hiding", os.path.join(folder, "hiding.py"))
    if hidden and hiding.hide(hidden):
        os.pwrite(page, b"\1", 32)
    os.pwrite(page, b"\1", 8)  # from here on it is the implementation that may end the process
    make_importable(packages)
    try:
        import numpy  # noqa: F401
    except ImportError as problem:
        refuse(answers, "it has no NumPy, which a worker needs (%s)" % problem)
    from conformance.isolation import worker

    worker.serve(requests, answers, page)


def make_importable(packages):
    """Let the suite be imported from where it lies: JSON of the folders of its packages, by name.

    Standalone scripts for an interpreter without the suite call this, too.
    """
    for package, folder in sorted(json.loads(packages).items()):
        by_location(package, os.path.join(folder, "__init__.py"), run=False)


def by_location(name, path, run=True):
    """Make the module in the file ``path`` importable as ``name``, with its submodules."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(name, path)
    if not run:
        sys.meta_path.insert(0, Here(name, path))
        return None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


class Here:
    """Finds one package where it lies; its submodules are found through its path, as always."""

    def __init__(self, name, path):
        self.name = name
        self.path = path

    def find_spec(self, name, path=None, target=None):
        """Return where the package is, for its name alone."""
        if name != self.name:
            return None
        import importlib.util

        folder = os.path.dirname(self.path)
        return importlib.util.spec_from_file_location(
            name, self.path, submodule_search_locations=[folder]
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
