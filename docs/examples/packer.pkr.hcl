# Check and import what Packer built: a post-processor that runs imsprep on this machine.
source "null" "disk" {
  communicator = "none"
}

build {
  sources = ["source.null.disk"]

  post-processor "shell-local" {
    inline = [
      "imsprep check build/disk.raw --guest",
      "imsprep import build/disk.raw --guest --name web01 --os-version 'Debian GNU/Linux 12.0.0 64bit' --min-disk 40 --to obs:images --region eu-de --site otc",
    ]
  }
}
