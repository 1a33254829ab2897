"""OFREP, OpenFeature's protocol: flags evaluated here for any language, with its words, statuses and errors.

Its answers are not those of the rest of the API: no problem documents, no ETag of a document, no version.
"""
