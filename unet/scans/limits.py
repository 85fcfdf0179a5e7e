"""How much an upload may cost: what is sent, what is made of it, and the processor time for both.

Numbers that a header states are checked before anything is decoded. Sizes in bytes unless their comment says otherwise.
"""

MAX_UPLOAD_BYTES = 2 << 30  # as sent, all files of an upload together; they lie on the disk
MAX_FILE_BYTES = MAX_UPLOAD_BYTES  # as sent: a study may be one zip
MAX_READ = 512 << 20  # of a file, or of an entry of an archive, in the reader's memory at once

MAX_DECODED = 512 << 20  # of all scans of an upload, in the file's type or as float32, whichever is more
MAX_VOLUME = 384 << 20  # of the three sequences as float32; 32 slices of 1024², 128 of 512², 512 of 256²
MAX_RESAMPLED = 24_000_000  # voxels that are brought onto FLAIR's grid: two sequences of 180 slices of 256²
MAX_SLICES = 600  # of a scan; a head in slices of 1 mm has some 200, and each costs a run of the network
MIN_SIDE, MAX_SIDE = 16, 2048  # pixels of a slice to segment; one of MRI has a few hundred
MAX_PIXELS_2D = 64_000_000  # of a single picture, which is scaled down to MAX_SIDE
MAX_PIXELS_INTERLACED = 16_000_000  # of an interlaced PNG, which is decoded in seven passes
MAX_JPEG_SCANS = 64  # passes over a JPEG's picture; a progressive one has about ten
MAX_CHANNELS = 8
MAX_LABELS = 16  # values of a mask, 0 included
MAX_SCANS = 200  # of an upload
MAX_PICTURED = 24  # scans that are shown with thumbnails
MIN_SPACING, MAX_SPACING = 1e-4, 1e4  # millimetres between voxels; a header that states others counts as silent
MAX_SERVER_DECODED = 2 << 30  # of the scans and volumes of all visitors together

MAX_MEMORY = 1536 << 20  # of the reader's child: address space, or resident where the system cannot limit that
MAX_SECONDS = 24  # of processor time for an upload of 100 MB or more
MIN_SECONDS = 3  # of processor time for an empty file; half a second of it starts Python
BYTES_PER_SECOND = 5 << 20  # that the slowest honest format is given time for


def processor_seconds(size: int) -> int:
    """Return the processor time that reading so many bytes may take, in seconds: small files must be cheap.

    >>> processor_seconds(80_000), processor_seconds(50 << 20), processor_seconds(300 << 20)
    (4, 13, 24)
    """
    return min(MAX_SECONDS, MIN_SECONDS + -(-size // BYTES_PER_SECOND))
