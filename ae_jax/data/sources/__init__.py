"""Where data come from: one file a source, each registered under the name that configs use."""
