"""What a DICOM file states that it is, by its first bytes."""

SEGMENTATIONS = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"  # the second: label maps
CONTOURS = "1.2.840.10008.5.1.4.1.1.481.3"
SEARCHED = 4096  # bytes in which a file states its class


def dicom_class(data: bytes) -> str:
    r"""Return the UID of the class that a DICOM file states, in its file meta information or else its data set.

    >>> dicom_class(128 * b"\0" + b"DICM\2\0\2\0UI\5\0" + b"1.2.3")
    '1.2.3'
    """
    start = data[:SEARCHED]
    for tag in (b"\2\0\2\0", b"\x08\0\x16\0"):
        if (place := start.find(tag)) >= 0:
            explicit = start[place + 4 : place + 6] == b"UI"
            length = int.from_bytes(start[place + (6 if explicit else 4) : place + 8], "little")
            return start[place + 8 : place + 8 + min(length, 64)].rstrip(b"\0 ").decode("ascii", "replace")
    return ""


def states_mask(data: bytes) -> bool:
    """Tell a DICOM file that holds a segmentation or contours, and no picture."""
    return dicom_class(data) in (*SEGMENTATIONS, CONTOURS)
