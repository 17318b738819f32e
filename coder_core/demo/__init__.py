"""The embedded demonstration: national flags as rendered photographs, a micro-CLIP trained for them, their texts."""
