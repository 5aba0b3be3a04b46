"""What a person sees of work that goes on. Begin with `watcher`; `bars` has the text of a bar."""
