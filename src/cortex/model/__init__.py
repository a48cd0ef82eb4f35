"""The public language: documents, specs, requests, events, settings and errors.

Types and validation, nothing else. Every other room speaks in these words; this one imports none
of them. Modules that need pydantic or YAML are imported where they are used.
"""
