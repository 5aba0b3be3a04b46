"""The rules of what lies inside the image (IMS8xx, IMS9xx). Begin with `system`."""
