"""Groups of raters that may get a query adapter of their own, by the file groups.txt of the home folder.

Each line is a group's name, a colon, and members separated by commas: raters by the name that their ratings are stored
under (`anna`, `github:ben`), all people of an API client (`openwebui:*`), or a mail domain (`@clinic.example.org`). A
group may have several lines. Lines that begin with # are comments. Who is in no group is served by the shared model.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rag.errors import BadSetting
from rag.home_address import refreshed

GROUPS_FILE = "groups.txt"
EVERYONE = ":*"  # after the name of an API client
NAME = re.compile(r"[\w.-]{1,64}")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Groups:
    """Group by member, in lower case: raters, `client:*`, `@domain`. A rater's own name counts before the others."""

    members: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Return the names of the groups, sorted."""
        return sorted(set(self.members.values()))

    def of(self, rater: str) -> str:
        """Return a rater's group, "" for none."""
        if not self.members:
            return ""
        named = rater.lower()
        client, domain = named.partition(":")[0] + EVERYONE, "@" + named.rpartition("@")[2]
        return next((self.members[each] for each in (named, client, domain) if each in self.members), "")

    def require(self, name: str) -> None:
        """Raise BadSetting unless there is a group of this name."""
        if name not in self.names:
            known = ", ".join(self.names) or "none"
            raise BadSetting(f"{name}: no such group in {GROUPS_FILE} (there are: {known}): add a line {name}: MEMBERS")


def read_groups(home: Path) -> Groups:
    """Return the groups of a home folder; none without a file. Raises BadSetting with the line that is wrong."""
    file = home / GROUPS_FILE
    try:
        lines = refreshed(file).read_text("utf-8").splitlines()
    except FileNotFoundError:
        return Groups()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting(f"{file} cannot be read ({error}): give a text file in UTF-8") from error
    members: dict[str, str] = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        name, colon, rest = line.partition(":")
        named = [part.strip().lower() for part in rest.split(",") if part.strip()]
        if not colon or not NAME.fullmatch(name.strip()) or not named:
            raise BadSetting(
                f"{file}, line {number}: {line[:60]!r}: give NAME: MEMBER, MEMBER, with a name of 1 to 64 letters, "
                "digits or . _ -"
            )
        for member in named:
            if members.setdefault(member, name.strip()) != name.strip():
                raise BadSetting(f"{file}, line {number}: {member} is in {members[member]} already: one group each")
    return Groups(members)


class GroupsFile:
    """The groups as the file has them now: it is read again when it changes.

    A change that cannot be read leaves the former groups, and `trouble` says why.
    """

    def __init__(self, home: Path) -> None:
        """Read the groups. Raises BadSetting."""
        self._home, self._file = home, home / GROUPS_FILE
        self._stamp = self._now()
        self._groups = read_groups(home)
        self.trouble = ""

    def of(self, rater: str) -> str:
        """Return a rater's group now, "" for none."""
        if (stamp := self._now()) != self._stamp:
            self._stamp = stamp
            try:
                self._groups, self.trouble = read_groups(self._home), ""
            except BadSetting as error:
                self.trouble = f"The groups stay as they were: {error}"
                log.error("%s", self.trouble)
        return self._groups.of(rater)

    def _now(self) -> tuple[int, int] | None:
        try:
            status = refreshed(self._file).stat()
        except FileNotFoundError:
            return None
        return status.st_mtime_ns, status.st_ino
