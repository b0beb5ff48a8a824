"""What can go wrong on this side of the door.

ModelError
├── ConfigError            a configuration that cannot be built
├── CheckpointError        a weights file that is missing, damaged, foreign or of another architecture
├── DataError              a data set, file or record that cannot be used
│   └── RecordError        the same with its fault as a value (model/training/faults.py)
├── DeviceError            no such device here
├── MissingExtra           a package that an optional extra brings is not installed
├── DeviceOutOfMemory      a batch that the device's memory cannot hold; a smaller one may pass
└── PictureError
    ├── UnsupportedFormat  none of the formats that we read
    ├── TooManyPixels      more declared pixels than allowed; raised before any is decoded
    └── UndecodablePicture empty, truncated or corrupt
"""


class ModelError(Exception):
    """The root: every message is one sentence that names the culprit."""


class ConfigError(ModelError):
    """A configuration that cannot be built."""


class CheckpointError(ModelError):
    """A weights file that is missing, damaged, foreign or of another architecture."""


class DataError(ModelError):
    """A data set, file or record that cannot be used."""


class DeviceError(ModelError):
    """No such device here."""


class DeviceLost(DeviceError):
    """The device has failed; only a new process can go on."""


class MissingExtra(ModelError):
    """A package that an optional extra brings is not installed."""


class DeviceOutOfMemory(ModelError):
    """A batch that the device's memory cannot hold; a smaller one may pass."""


class PictureError(ModelError):
    """A picture that cannot be used."""


class UnsupportedFormat(PictureError):
    """None of the formats that we read."""


class TooManyPixels(PictureError):
    """More declared pixels than allowed; raised before any pixel is decoded."""


class UndecodablePicture(PictureError):
    """Empty, truncated or corrupt."""
