"""A strict local image service: the quick import API over a folder or a bucket. Begin with `app`.

    signature   AK/SK signatures, verified
    validate    the request's body against the documents, with their error codes
    materialise what was uploaded, read and made into a disk
    jobs        jobs and images, kept in a folder
    kept        what it would say of them, while it is off
    faults      what goes wrong on request
    app         the endpoints, as a WSGI application
    server      the application on a port of this machine

What a request may say, how it is signed and what a bitmap means is written here independently, from
the documents and not from the client, so that each is a test of the other. Shared are the object
store, the tables of sites and error codes, and the readers of the formats. See docs/emulator.md.
"""
