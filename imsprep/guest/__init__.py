"""What is inside the image: its file systems and the files that decide whether it will boot.

Nothing here mounts, needs root or writes. `sandbox.inspect_image` is the one door: it runs a child
process with limits, because images are not trusted and file-system readers are large; the child
opens the image (`inspect`), finds the file systems (`fs.volumes`), reads them through a narrow door
(`fs.interface`, served by `fs.libyal` or `fs.dissect`), lays them together as the guest would see
them (`tree`) and takes the few files and names that matter (`snapshot`, `linux`, `windows`). What
comes back is one value, `model.Guest`; the rules of IMS8xx and IMS9xx are pure functions of it.
"""
