from model.training.schedule import CosineSchedule


def test_rises_to_the_base_and_falls_to_nothing():
    rates = [CosineSchedule(0.1, 10, 110)(step) for step in range(110)]
    assert max(rates) == rates[9] == 0.1
    assert rates[:10] == sorted(rates[:10])
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] < 1e-4
    assert abs(rates[60] - 0.05) < 1e-9  # halfway down
