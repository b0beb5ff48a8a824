import numpy as np
from PIL import Image

from model.evaluation.pictures import contact_sheet, draw_boxes


def test_boxes_are_drawn_where_they_are_the_best_on_top_and_brightest():
    grey = Image.new("RGB", (200, 100), (128, 128, 128))
    boxes = np.array([[20, 30, 120, 90], [20, 30, 180, 95]], dtype=np.float32)
    drawn = draw_boxes(grey, boxes, np.array([0.9, 0.2], dtype=np.float32))
    assert drawn.getpixel((120, 60)) == (253, 231, 37)
    assert drawn.getpixel((180, 60)) == (68, 1, 84)
    assert drawn.getpixel((20, 60)) == (253, 231, 37), "the higher-ranked box is on top"
    assert drawn.getpixel((60, 60)) == (128, 128, 128)
    assert grey.getpixel((120, 60)) == (128, 128, 128), "the picture itself is not drawn on"


def test_nothing_found_is_the_picture():
    grey = Image.new("L", (20, 10), 99)
    drawn = draw_boxes(grey, np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    assert drawn.tobytes() == grey.convert("RGB").tobytes()


def test_a_contact_sheet_has_every_picture_at_one_height():
    sheet = contact_sheet([Image.new("RGB", size, "red") for size in ((40, 20), (20, 20), (10, 40))], 2, 20)
    assert sheet.size == (60, 40)
    assert sheet.getpixel((59, 19)) == (255, 0, 0)
    assert sheet.getpixel((59, 39)) == (255, 255, 255)
