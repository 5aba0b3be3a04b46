# Import an image when its content changes; imsprep prints the new image's id into a file.
# terraform_data needs Terraform 1.4; before, a null_resource does the same (triggers_replace is
# called triggers there).
variable "image" {
  default = "build/disk.raw"
}

resource "terraform_data" "image" {
  triggers_replace = {
    sha256 = filesha256(var.image)
  }

  provisioner "local-exec" {
    command = "imsprep import ${var.image} --guest --name web01 --os-version 'Debian GNU/Linux 12.0.0 64bit' --min-disk 40 --to obs:images --region eu-de --site otc --json > image.json"
  }
}
