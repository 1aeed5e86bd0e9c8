def any_trenches():
    pass


def draw_trenches():
    pass
