"""How dates and times are written in each language, where Django's own habit is not ours. Django reads these modules
(FORMAT_MODULE_PATH); templates name a format: `{{ day|date:"SHORT_DATE_FORMAT" }}`."""
