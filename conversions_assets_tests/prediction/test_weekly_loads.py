"""The seed's use case: leads with params, deals as their target, a window of 40 days, 20 weekly loads."""

from datetime import timedelta

import pytest

from conversions_assets_tests.prediction.crm import START, Crm, simulated

WEEKS, REFITS = 20, (7, 12, 16)


def test_r25_to_r30_twenty_weekly_loads(crm: Crm) -> None:
    leads, deals = simulated(10, WEEKS * 7, seed=11, rate=0.3, delay_days=9.0)
    leads[40]["user_id"] = None
    versions: list[str] = []
    for week in range(1, WEEKS + 1):
        crm.at(7 * week + 0.25).place(leads, deals)
        if week in REFITS:
            model = crm.fit().model
            assert model is not None
            assert model.cut_off == START + timedelta(days=7 * week)
            versions.append(model.version)
        crm.predict(crm.today - timedelta(days=7))
    assert len(set(versions)) == len(REFITS)
    scores = crm.scores()
    assert len(scores) == len(leads)
    # Every lead was scored by the newest model of its week, and before the first one by none.
    for number, row in enumerate(leads):
        week = number // 70 + 1
        fitted = [version for version, refit in zip(versions, REFITS, strict=True) if refit <= week]
        found = scores[row["id"]]
        assert found["model_version"] == (fitted[-1] if fitted and row["user_id"] else None), row["id"]
        assert found["value_source"] == ("PREDICTED" if found["model_version"] else "NONE")
        assert (found["target_conversions"] is not None) == bool(row["user_id"] and number / 10 + 40 < WEEKS * 7)
    # Once the window of all of them is over, what was predicted before it happened is compared with what happened.
    crm.at(WEEKS * 7 + 45.25).place(leads, deals)
    crm.predict(crm.today - timedelta(days=45))
    rows = [row for row in crm.scores().values() if row["value_source"] == "PREDICTED"]
    assert len(rows) == (WEEKS - REFITS[0] + 1) * 70
    assert all(row["target_conversions"] is not None for row in rows)
    predicted, realised = (sum(row[name] for row in rows) for name in ("probability", "target_conversions"))
    assert predicted == pytest.approx(realised, rel=0.25)
    value, brought = (sum(row[name] for row in rows) for name in ("predicted_value", "realised_target_value"))
    assert value == pytest.approx(brought, rel=0.3)
    known = {row["id"]: row["source"] for row in leads}
    ads, mail = ([row["probability"] for row in rows if known[row["id"]] == source] for source in ("ads", "mail"))
    assert sum(ads) / len(ads) > 1.5 * sum(mail) / len(mail)
    # Published: the days of the window take the newest model's scores, the others what they were published with.
    done = crm.publish_leads()
    assert done.replay.holds
    assert sum(row["ids"] for row in done.changes) == len(leads)
    published = crm.published()
    assert all(published[row["id"]]["value"] == row["predicted_value"] for row in rows)
    assert published[leads[40]["id"]]["value_source"] == "NONE"


def test_r28_a_param_that_is_filled_after_the_deal_is_a_leak_and_named(crm: Crm) -> None:
    leads, deals = simulated(8, 95, seed=2, rate=0.3)
    won = {row["user_id"] for row in deals}
    leaking = [row | {"country": "signed" if row["id"] in won else None} for row in leads]
    crm.at(95.25).place(leads, deals)
    clean = crm.fit().model
    crm.place(leaking, deals)
    model = crm.fit().model
    assert clean is not None
    assert model is not None
    assert clean.report["leaks"] == []
    [leak] = model.report["leaks"]
    assert leak["param"] == "country"
    assert leak["why"].startswith("leak: ")
    assert "signed" not in str(model.report)
    assert "country" not in model.report["features_used"]
