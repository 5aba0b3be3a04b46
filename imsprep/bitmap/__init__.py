"""The bitmap file of a RAW image: its layout, how it is written, proved and exported."""
