"""imsprep: bring a disk image into Huawei Cloud IMS by quick import, without surprises."""

__version__ = "0.1.0"
