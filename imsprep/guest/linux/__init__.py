"""What a Linux guest's files say: boot loader, initramfs, fstab, network, cloud-init."""
