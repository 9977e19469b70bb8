"""What one run saw, with the versions it saw it on: build-interop/results.json, from which docs/INTEROP.md is written."""
import datetime
import json

from kit.server import postern

from expectations import OUTCOMES, SERVERS as EXPECTED, SHAPE_SEEN, sequence_of, sequence_through

from .clients import CLIENTS
from .root import BUILD
from .servers import SERVERS


def version_key(program):
    return f"{program.package}/{program.release}"


class Results:
    def __init__(self, roots):
        self.roots = roots
        self.seen = {"date": datetime.date.today().isoformat(),
                     "postern": postern("--version").stdout.split()[-1],
                     "versions": {}, "servers": {}, "clients": {}}

    def server(self, program, **facts):
        self.seen["versions"][version_key(program)] = program.version
        self.seen["servers"].setdefault(program.name, {}).update(facts)

    def client(self, client, **facts):
        self.seen["versions"][version_key(client)] = self.roots[client.release].version(client.package)
        self.seen["clients"].setdefault(client.name, {}).update(facts)

    @property
    def complete(self):
        return (len(self.seen["servers"]), len(self.seen["clients"])) == (len(SERVERS), len(CLIENTS))

    def write(self):
        """Of a run of part of the lab nothing is kept: the page speaks of one run."""
        if self.complete:
            (BUILD / "results.json").write_text(json.dumps(self.seen, indent=1, sort_keys=True) + "\n")


def differences(seen):
    """What a run saw otherwise than expected, in words."""
    wrong = []
    for name, row in seen["servers"].items():
        want = EXPECTED[name]
        for fact in ("verdict", "offered", "equals", "straight", "stranger", "admits", "foreign"):
            if row.get(fact) != getattr(want, fact):
                wrong.append(f"{name}: {fact} is {row.get(fact)}, not {getattr(want, fact)}")
        if row.get("sequence") != sequence_through(want):
            wrong.append(f"{name}: postern send gets in by {row.get('sequence')}, not {sequence_through(want)}")
        if sorted(row.get("shapes", [])) != sorted(want.shapes):
            wrong.append(f"{name}: the shapes that work are {row.get('shapes')}, not {want.shapes}")
    for client in CLIENTS:
        row = seen["clients"][client.name]
        if (row["shape"], row["sequence"]) != (SHAPE_SEEN[client.sends], sequence_of(client)):
            wrong.append(f"{client.name}: the observer sees {row['shape'] or 'no EXTERNAL'}, {row['sequence']}")
        if (row["explicit"], row["implicit"]) != OUTCOMES[client.sends]:
            wrong.append(f"{client.name}: {row['explicit']}, {row['implicit']}, not {OUTCOMES[client.sends]}")
    return wrong
