"""What a file declares before its pixels, and the file cut down to what its first picture needs.

Pillow reads every word of a container before the first pixel: texts, thumbnails, directories, further frames. In an
honest file a fault there would cost a sound picture; in a hostile one it costs minutes or gigabytes. So the container
is walked here, in a bounded number of steps and without touching a pixel, and Pillow is handed the essentials alone.
"""
