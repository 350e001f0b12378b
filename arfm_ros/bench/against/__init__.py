"""A bundle beside the library that trained it: `arfm bench BUNDLE --against lerobot:FOLDER`."""
