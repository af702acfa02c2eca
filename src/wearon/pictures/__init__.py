"""Picture bytes: hostile ones become plain pictures, in processes of their own.

`bare*` take the metadata off before a decoder sees a byte, `decode` decodes and prepares, `pool` runs it, `suspects`
finds the picture that kills processes. Imports the floor only.
"""
