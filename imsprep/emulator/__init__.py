"""A strict local image service: the quick import API over a folder or a bucket of objects.

    signature   AK/SK signatures, verified
    validate    the request's body against the documents, with their error codes
    disk        what was uploaded, read and made into a disk
    jobs        jobs and images, kept in a folder
    faults      what goes wrong on request
    app         the endpoints, as a WSGI application
    server      the application on a port of this machine

It shares no code with the client but the object store and the table of error codes, so that each
is a test of the other. See docs/emulator.md.
"""
