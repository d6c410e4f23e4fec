"""A share of the users, chosen by a hash of their ids: how a change goes to some of them first."""

import hashlib

import msgspec

from kalmap.errors import InvalidInput

_WHOLE = 100.0
#: A user's place is a multiple of 1 in so many, which a float holds exactly.
_PLACES = 2**53


class Share(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The users whose place lies from `start` up to, and not at, `end`, in percent.

    A user has one place under a salt, on every machine and in every batch. So shares that meet,
    such as 0 to 10 and 10 to 100, have each user once, and a larger share includes a smaller one
    that begins at the same place.
    """

    start: float = msgspec.field(name="from")
    end: float = msgspec.field(name="to")
    salt: str = ""
    """Another salt gives users other places."""

    def has(self, user_id: str | None) -> bool:
        """Whether the share has a user. A record that names none is with the last users."""
        if user_id is None:
            return self.end == _WHOLE
        # A record that cannot be read may name a user by half a character.
        hashed = hashlib.sha256(f"{self.salt}\0{user_id}".encode(errors="replace")).digest()
        place = (int.from_bytes(hashed[:8], "big") >> 11) / _PLACES
        return self.start / _WHOLE <= place < self.end / _WHOLE


def check_share(share: Share) -> None:
    """Check the bounds of a share.

    Raises:
        InvalidInput: They are no part of 0 to 100.
    """
    if not 0.0 <= share.start < share.end <= _WHOLE:
        raise InvalidInput(
            f"share is from {share.start:g} to {share.end:g}; it is a part of 0 to 100 percent, "
            'such as {"from": 0, "to": 10}.',
            "share",
        )
