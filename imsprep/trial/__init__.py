"""The image started in QEMU as the cloud would start it, and the verdict on what was seen.

`run.boot` is the one door. `plan` says what machine it is, `nbd_server` serves a disk that QEMU
does not read itself, `metadata` and `metadata_server` are the metadata service inside the guest's
network, `screen` and `verdict` are pure: what is on the console in, what became of the boot out.
The image is never written to, no root is needed, and the guest reaches no network.
"""
