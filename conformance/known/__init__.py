"""What is known of implementations: differences that are expected, each narrow and with a reason.

`difference` is one of them, `conditions` names what is special about the cases that it covers,
`reading` reads them from TOML files, and `listed` is an implementation's list in such a file.
"""
