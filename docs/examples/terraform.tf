# Import an image when its content changes; imsprep prints the new image's id into a file.
variable "image" {
  default = "build/disk.raw"
}

resource "null_resource" "image" {
  triggers = {
    sha256 = filesha256(var.image)
  }

  provisioner "local-exec" {
    command = "imsprep import ${var.image} --name web01 --type DataImage --min-disk 40 --to obs:images --region eu-de --site otc --json > image.json"
  }
}
