"""Readers of video files, images, folders of frames and arrays; they run in the child process."""
