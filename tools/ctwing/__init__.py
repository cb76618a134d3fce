"""The local AEP: plays the platform as its documents say, on libraries nobody here wrote."""
