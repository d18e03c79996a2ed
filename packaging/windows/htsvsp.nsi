; SPDX-License-Identifier: BSD-2-Clause
; The installer of kdwire.exe and of the network serial port. makensis -DSOURCE=dist/windows ...
Unicode true
Target amd64-unicode ; as all that is in it; and Wine without its 32-bit half runs it, for the test
!include LogicLib.nsh
!include Sections.nsh
Name "kdwire"
OutFile "${SOURCE}\htsvsp-setup.exe"
InstallDir "$PROGRAMFILES64\kdwire"
RequestExecutionLevel admin
ShowInstDetails show
SetCompressor /SOLID lzma

Page components
Page directory
Page instfiles
UninstPage uninstConfirm
UninstPage instfiles

Section "kdwire: relay, debugger, recordings"
  SectionIn RO
  SetOutPath $INSTDIR
  File "${SOURCE}\kdwire.exe"
  File "${SOURCE}\sessions.conf"
  SetOutPath $INSTDIR\docs
  File "${SOURCE}\docs\*.*"
  ; PATH stays as it is: installers have destroyed too many.
  WriteUninstaller "$INSTDIR\uninstall.exe"
  SetRegView 64
  WriteRegStr HKLM "Software\Microsoft\Windows\CurrentVersion\Uninstall\kdwire-htsvsp" "DisplayName" "kdwire"
  WriteRegStr HKLM "Software\Microsoft\Windows\CurrentVersion\Uninstall\kdwire-htsvsp" "UninstallString" '"$INSTDIR\uninstall.exe"'
SectionEnd

Section "Network serial port: driver and vspControl" SerialPort
  SetOutPath $INSTDIR
  File "${SOURCE}\htsvsp.dll"
  File "${SOURCE}\htsvsp.inf"
  File "${SOURCE}\htsvsp.cat"
  File "${SOURCE}\htsvsp.cer"
  File "${SOURCE}\vspControl.exe"
SectionEnd

; Not ticked: trusting a certificate is the user's decision.
Section /o "Trust the certificate that signed the driver" Trust
  ${If} ${SectionIsSelected} ${SerialPort}
    nsExec::ExecToLog '"$INSTDIR\vspControl.exe" install --yes --certificate "$INSTDIR\htsvsp.cer"'
    Pop $0
    ${If} $0 != 0
      DetailPrint "The driver package could not be installed; the lines above say why."
      SetErrorLevel 1
      Abort
    ${EndIf}
  ${EndIf}
SectionEnd

Section "-Install the package"
  ${If} ${SectionIsSelected} ${SerialPort}
    ${IfNot} ${SectionIsSelected} ${Trust}
      nsExec::ExecToLog '"$INSTDIR\vspControl.exe" install'
      Pop $0
      ${If} $0 != 0
        DetailPrint "Windows did not take the driver package; the lines above say why. Later: vspControl install"
      ${EndIf}
    ${EndIf}
    DetailPrint 'Now make a port: vspControl add --connect HOST:PORT'
  ${EndIf}
SectionEnd

Section "Uninstall"
  ${If} ${FileExists} "$INSTDIR\vspControl.exe"
    nsExec::ExecToLog '"$INSTDIR\vspControl.exe" uninstall'
    Pop $0
  ${EndIf}
  ; a service whose program is gone would be an error at each start of Windows
  nsExec::ExecToLog '"$INSTDIR\kdwire.exe" service remove'
  Pop $0
  Delete "$INSTDIR\htsvsp.dll"
  Delete "$INSTDIR\htsvsp.inf"
  Delete "$INSTDIR\htsvsp.cat"
  Delete "$INSTDIR\htsvsp.cer"
  Delete "$INSTDIR\vspControl.exe"
  Delete "$INSTDIR\kdwire.exe"
  Delete "$INSTDIR\sessions.conf"
  Delete "$INSTDIR\docs\*.md"
  Delete "$INSTDIR\docs\*.txt"
  RMDir "$INSTDIR\docs"
  Delete "$INSTDIR\uninstall.exe"
  RMDir $INSTDIR
  SetRegView 64
  DeleteRegKey HKLM "Software\Microsoft\Windows\CurrentVersion\Uninstall\kdwire-htsvsp"
SectionEnd
