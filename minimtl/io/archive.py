"""Zip archives from strangers: the members of `.npz` and `.pth` files, each between bounds that were checked before it is touched.

    local header, member, local header, member, …, list of members, end record

Python's `zipfile` believes more: members that overlap, sizes that a member claims. Here all sizes are compared with the file's,
names must be unique, every checksum must hold, and what unfolds to far more than the file is refused before it does.
"""

import struct
import zlib
from typing import NamedTuple

END, END64, LOCATOR64 = struct.Struct("<4s4H2IH"), struct.Struct("<4sQ2H2I4Q"), struct.Struct("<4sIQI")
LISTED, LOCAL = struct.Struct("<4s6H3I5H2I"), struct.Struct("<4s5H3I2H")
STORED, DEFLATED = 0, 8
ENCRYPTED, UTF8 = 0x1, 0x800  # marks of a member
FULL = 0xFFFFFFFF  # stands for a number that is in the zip64 field instead
MOST_MEMBERS = 10_000  # and one more for every 500 bytes
UNFOLDS, SPARE = 1.5, 4 << 20  # what a file may unfold to: 1.5 times its size and 4 MiB


class Member(NamedTuple):
    """A line of the list of members: its name, where its local header is, and what is said of its bytes."""

    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int


def members(data: bytes, compressed: bool = False) -> dict[str, memoryview | bytes]:
    """The members of the archive by name, checked; of stored ones no copy is made. `compressed` allows deflated ones."""
    listing, start = listed(data)
    check(listing, len(data), compressed)
    found: dict[str, memoryview | bytes] = {}
    ends = [*(member.offset for member in listing), start][1:]
    for member, next_start in zip(listing, ends, strict=True):
        found[member.name] = contents(data, member, next_start)
    return found


def listed(data: bytes) -> tuple[list[Member], int]:
    """The list of members in the order in which they lie in the file, and where it starts."""
    if not data.startswith(b"PK\3\4") and not data.startswith(b"PK\5\6"):
        raise ValueError(f"it starts with {data[:4].hex(' ') or 'nothing'}, a zip archive with 50 4b 03 04")
    number, size, start, end = end_record(data)
    if start + size != end or number > MOST_MEMBERS + len(data) // 500 or number * LISTED.size > size:
        raise ValueError(
            f"its end announces {number} members in {size} bytes from byte {start} on, which does not fit the file"
        )
    listing, lines, at = [], data[start:end], 0
    for _ in range(number):
        member, at = listed_at(lines, at)
        listing.append(member)
    if at != size:
        raise ValueError(f"its list of members has more bytes than its {number} members need")
    return sorted(listing, key=lambda member: member.offset), start


def end_record(data: bytes) -> tuple[int, int, int, int]:
    """How many members there are, the size of their list, where it starts, and where the end record does."""
    end = len(data) - END.size
    if end < 0 or not data.startswith(b"PK\5\6", end):
        raise ValueError("it does not end as a zip archive does: it is cut off, or something stands behind it")
    _, disk, first, here, number, size, start, comment = END.unpack_from(data, end)
    at = end - LOCATOR64.size - END64.size
    if at >= 0 and data.startswith(b"PK\6\7", at + END64.size):
        _, disk64, place, disks = LOCATOR64.unpack_from(data, at + END64.size)
        sign, length, _, _, disk, first, here, number, size, start = END64.unpack_from(data, at)
        if (sign, length, place, disk64, disks) != (b"PK\6\6", END64.size - 12, at, 0, 1):
            raise ValueError("its zip64 end record is damaged")
        end = at
    if disk or first or comment or here != number:
        raise ValueError("its end record is damaged, or it is one of several volumes")
    return number, size, start, end


def listed_at(lines: bytes, at: int) -> tuple[Member, int]:
    """The member that the list names at this byte of its own, and where the next one stands."""
    sign, _, _, flags, method, _, _, crc, packed, size, n_name, n_extra, n_comment, disk, _, _, offset = LISTED.unpack_from(
        lines, at
    )
    at += LISTED.size
    raw, extra = lines[at : at + n_name], lines[at + n_name : at + n_name + n_extra]
    if sign != b"PK\1\2" or len(raw) + len(extra) != n_name + n_extra or n_comment or disk:
        raise ValueError(f"its list of members is damaged before its byte {at}")
    if not raw.isascii() and not flags & UTF8:
        raise ValueError(f"the name {raw!r} is not in UTF-8")
    numbers = [size, packed, offset]
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == 1:
            large = list(struct.unpack_from(f"<{length // 8}Q", extra, 4))
            numbers = [large.pop(0) if number == FULL else number for number in numbers]
        extra = extra[4 + length :]
    size, packed, offset = numbers
    return Member(raw.decode(), flags, method, crc, packed, size, offset), at + n_name + n_extra


def check(listing: list[Member], length: int, compressed: bool) -> None:
    """No name comes twice, and all can be unfolded in little more memory than the file takes."""
    names = {member.name for member in listing}
    if len(names) < len(listing):
        raise ValueError("two of its members have one name")
    for member in listing:
        if member.method not in ((STORED, DEFLATED) if compressed else (STORED,)) or member.flags & ENCRYPTED:
            raise ValueError(f"its member {member.name!r} is encrypted, or compressed (by method {member.method})")
    unfolded, most = sum(member.size for member in listing), int(UNFOLDS * length) + SPARE
    if unfolded > most:
        raise ValueError(f"it unfolds to {unfolded} bytes; of {length} bytes at most {most} may come: save it uncompressed")


def contents(data: bytes, member: Member, limit: int) -> memoryview | bytes:
    """What the member holds, all of it in front of `limit`, where the next thing starts."""
    start = member.offset + LOCAL.size
    if start > limit:
        raise ValueError(f"its member {member.name!r} overlaps what comes next")
    sign, _, flags, method, _, _, _, _, _, n_name, n_extra = LOCAL.unpack_from(data, member.offset)
    name = data[start : start + n_name]
    if (sign, flags, method, name) != (b"PK\3\4", member.flags, member.method, member.name.encode()):
        raise ValueError(f"its member {member.name!r} has another header than the list of members says")
    start += n_name + n_extra
    if start + member.packed > limit:
        raise ValueError(f"its member {member.name!r} overlaps what comes next")
    packed: memoryview | bytes = memoryview(data)[start : start + member.packed]
    if member.method == DEFLATED:
        stream = zlib.decompressobj(-zlib.MAX_WBITS)
        packed = stream.decompress(packed, member.size + 1)  # never more than was announced
    if len(packed) != member.size or zlib.crc32(packed) != member.crc:
        raise ValueError(f"its member {member.name!r} is damaged: its size or checksum is another")
    return packed
