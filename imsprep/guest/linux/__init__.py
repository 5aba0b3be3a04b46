"""What a Linux guest's files say: initramfs, fstab, network. Begin with `os_release`."""
